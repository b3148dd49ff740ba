// Carries a path of the site to PostHog: no third party's name in the browser, and none of the site's cookies there.
const OURS_ALONE = ['cookie', 'authorization', 'cf-connecting-ip', 'cf-ipcountry', 'cf-ray', 'cf-visitor', 'x-real-ip']

export default {
  async fetch(request, env) {
    const url = new URL(request.url)
    const path = url.pathname.slice(env.PREFIX.length) || '/'
    // Its scripts come from another host than the one that takes events.
    const origin = /^\/(static|array)\//.test(path) ? env.ASSETS : env.EVENTS
    const headers = new Headers(request.headers)
    const visitor = headers.get('cf-connecting-ip')
    for (const name of OURS_ALONE) headers.delete(name)
    headers.delete('host')
    headers.delete('x-forwarded-for')
    if (visitor) headers.set('x-forwarded-for', visitor)
    const hasBody = !['GET', 'HEAD'].includes(request.method)
    const answer = await fetch(origin + path + url.search, {
      method: request.method,
      headers,
      body: hasBody ? await request.arrayBuffer() : undefined,
      redirect: 'manual',
    })
    const passed = new Headers(answer.headers)
    passed.delete('set-cookie')
    return new Response(answer.body, { status: answer.status, headers: passed })
  },
}
