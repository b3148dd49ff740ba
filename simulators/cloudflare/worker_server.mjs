// Runs a Worker's module as Cloudflare would, as a server on 127.0.0.1: node worker_server.mjs MODULE PORT.
// WORKER is JSON: env (its bindings), cached (Workers Cache stands in front), upstreams (local URLs by origin).
import http from 'node:http'

const [module, port] = process.argv.slice(2)
const { env, cached, upstreams } = JSON.parse(process.env.WORKER)
const worker = (await import(module)).default

// Cloudflare rewrites Accept-Encoding on the way out (backblaze-b2-samples/cloudflare-b2 #4). Node's own fetch sends no
// Host but that of the URL.
globalThis.fetch = async (input, init = {}) => {
  const asked = input instanceof Request ? await plain(input) : { ...init, url: input }
  return new Promise((resolve, reject) => {
    const url = new URL(asked.url)
    const headers = { ...Object.fromEntries(new Headers(asked.headers)), 'accept-encoding': 'gzip', host: url.host }
    const local = new URL((upstreams[url.origin] ?? url.origin) + url.pathname + url.search)
    const request = http.request(local, { method: asked.method ?? 'GET', headers }, async (answer) => {
      const chunks = []
      for await (const chunk of answer) chunks.push(chunk)
      const given = new Headers()
      for (let at = 0; at < answer.rawHeaders.length; at += 2) given.append(answer.rawHeaders[at], answer.rawHeaders[at + 1])
      const hasBody = ![204, 304].includes(answer.statusCode)
      resolve(new Response(hasBody ? Buffer.concat(chunks) : null, { status: answer.statusCode, headers: given }))
    })
    request.on('error', reject)
    request.end(asked.body ? Buffer.from(asked.body) : undefined)
  })
}

// A Worker may also pass the visitor's own Request to fetch().
async function plain(request) {
  const { url, method, headers } = request
  return { url, method, headers, body: ['GET', 'HEAD'].includes(method) ? undefined : await request.arrayBuffer() }
}

// Workers Cache (developers.cloudflare.com/workers/cache, read 2026-11): keyed by path and query, GET and HEAD share an
// entry, a cold HEAD is asked as GET, the most specific header decides and Cloudflare's own is not passed on. A stale
// answer is asked for again with its validator; the Worker's 304 keeps its body ("Configuration"). Purges of the zone do
// not reach it ("Purging the cache").
const store = new Map()
const freshSeconds = (headers) => {
  const said = headers.get('cloudflare-cdn-cache-control') ?? headers.get('cdn-cache-control') ?? headers.get('cache-control') ?? ''
  return /no-store|private/.test(said) ? 0 : Number(/max-age=(\d+)/.exec(said)?.[1] ?? 0)
}

async function answered(asked) {
  if (!cached || !['GET', 'HEAD'].includes(asked.method)) return { ...(await run(asked)), state: cached ? 'BYPASS' : undefined }
  const { pathname, search } = new URL(asked.url)
  const found = store.get(pathname + search)
  if (found && found.until > Date.now()) return { ...found, state: 'HIT' }
  const headers = new Headers(asked.headers)
  if (found?.headers.has('etag')) headers.set('if-none-match', found.headers.get('etag'))
  const fresh = await run(new Request(asked.url, { headers }))
  const seconds = freshSeconds(fresh.headers)
  if (found && fresh.code === 304) {
    store.set(pathname + search, { ...found, until: Date.now() + seconds * 1000 })
    return { ...found, state: 'REVALIDATED' }
  }
  if (seconds) store.set(pathname + search, { ...fresh, until: Date.now() + seconds * 1000 })
  return { ...fresh, state: seconds ? 'MISS' : 'BYPASS' }
}

async function run(asked) {
  const answer = await worker.fetch(asked, env)
  return { code: answer.status, headers: answer.headers, body: Buffer.from(await answer.arrayBuffer()) }
}

http
  .createServer(async (request, response) => {
    const chunks = []
    for await (const chunk of request) chunks.push(chunk)
    const hasBody = !['GET', 'HEAD'].includes(request.method)
    const asked = new Request(`https://${request.headers['x-site'] ?? 'site.example.com'}${request.url}`, {
      method: request.method,
      headers: new Headers(Object.entries(request.headers)),
      body: hasBody ? Buffer.concat(chunks) : undefined,
    })
    try {
      const answer = await answered(asked)
      const headers = Object.fromEntries(answer.headers)
      delete headers['cloudflare-cdn-cache-control']
      response.writeHead(answer.code, { ...headers, ...(answer.state ? { 'cf-cache-status': answer.state } : {}) })
      response.end(request.method === 'HEAD' ? undefined : answer.body)
    } catch (error) {
      response.writeHead(500).end(String(error))
    }
  })
  .listen(Number(port), '127.0.0.1', () => console.log('listening'))
