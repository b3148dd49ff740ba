// Answers 503 in the place of the site and the API until UNTIL. Our own checks, and everybody afterwards, pass through.
const html = (until) => `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Maintenance</title>
<body style="font: 1rem/1.5 system-ui; margin: 15vh auto; max-width: 30rem; padding: 0 1rem; color-scheme: light dark">
<h1>We will be back soon</h1>
<p>We are working on the service. We expect to be done by <time datetime="${until}">${until}</time>.</p>
</html>
`

export default {
  async fetch(request, env) {
    const seconds = Math.ceil((Date.parse(env.UNTIL) - Date.now()) / 1000)
    if (seconds <= 0 || request.headers.get(env.PASS_HEADER) === env.CHECK_PASS) return fetch(request)
    const isPage = (request.headers.get('accept') ?? '').includes('text/html')
    return new Response(isPage ? html(env.UNTIL) : JSON.stringify({ error: 'maintenance', until: env.UNTIL }), {
      status: 503,
      headers: {
        'content-type': isPage ? 'text/html; charset=utf-8' : 'application/json',
        'retry-after': String(seconds),
        'cache-control': 'no-store',
      },
    })
  },
}
