// Serves the private media bucket: signs each request to S3 (AWS Signature Version 4), so that S3 needs no public reader.
// Workers Cache stands in front of it: a request that hits the cache never runs this code.
const CONDITIONAL = ['if-none-match', 'if-modified-since']
const NOT_OURS = ['server', 'date', 'connection', 'keep-alive', 'transfer-encoding']
const NO_BODY = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
const encoder = new TextEncoder()

export default {
  async fetch(request, env) {
    if (!['GET', 'HEAD'].includes(request.method)) return plain(405, 'media is read-only', 'no-store', { allow: 'GET, HEAD' })
    const url = new URL(request.url)
    // The query is part of the cache key: without this, each ?x=RANDOM would be fetched whole from S3.
    if (url.search) return plain(301, '', `public, max-age=${env.BROWSER_SECONDS}`, { location: url.pathname })
    const path = canonicalPath(url.pathname)
    if (path === null) return plain(400, 'the path is not valid UTF-8', 'public, max-age=60')
    // S3 would answer with the list of all objects.
    if (path === '/') return plain(404, 'not found', 'public, max-age=60')
    const headers = await signed(env, path, new Date())
    // Not signed: Cloudflare drops and rewrites them on the way. No Range either: the cache slices whole answers.
    for (const name of CONDITIONAL) if (request.headers.has(name)) headers[name] = request.headers.get(name)
    // GET for HEAD too: Cloudflare turns a HEAD into a GET, and the method is part of the signature.
    const answer = await fetch(`https://${env.BUCKET_HOST}${path}`, { method: 'GET', headers, redirect: 'manual' })
    if (answer.status === 404) return plain(404, 'not found', 'public, max-age=30')
    // S3 refuses or fails us, not the visitor: a server error, so that checks and alarms see it.
    if (![200, 304].includes(answer.status)) return plain(502, 'the media bucket does not answer', 'no-store')
    return new Response(request.method === 'HEAD' ? null : answer.body, {
      status: answer.status,
      headers: passedOn(answer.headers, path, env),
    })
  },
}

function plain(status, text, cacheControl, more = {}) {
  return new Response(text || null, { status, headers: { 'cache-control': cacheControl, 'content-type': 'text/plain', ...more } })
}

// As S3 canonicalizes it: every byte but A-Z a-z 0-9 - . _ ~ and / percent-encoded, once. null if it cannot be decoded.
function canonicalPath(pathname) {
  try {
    const encoded = pathname.split('/').map((part) => encodeURIComponent(decodeURIComponent(part)))
    return encoded.join('/').replace(/[!'()*]/g, (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`)
  } catch {
    return null
  }
}

function passedOn(from, path, env) {
  const headers = new Headers()
  for (const [name, value] of from) if (!name.startsWith('x-amz-') && !NOT_OURS.includes(name)) headers.set(name, value)
  // The site's static files say themselves how long they may be kept; S3 says nothing of media.
  if (path.startsWith(env.STATIC_PATH) && headers.has('cache-control')) return headers
  // Of objects that change under the same name: one time for browsers and edge, by the prefix of the path.
  const [, ttl] = Object.entries(JSON.parse(env.TTL_SECONDS)).find(([prefix]) => path.startsWith(prefix)) ?? []
  headers.set('cache-control', `public, max-age=${ttl ?? env.BROWSER_SECONDS}`)
  headers.set('cloudflare-cdn-cache-control', `public, max-age=${ttl ?? env.EDGE_SECONDS}, stale-if-error=86400`)
  return headers
}

async function signed(env, path, now) {
  const at = env.SIGNING_KEY.indexOf(':')
  const [id, secret] = [env.SIGNING_KEY.slice(0, at), env.SIGNING_KEY.slice(at + 1)]
  const time = now.toISOString().replace(/[-:]|\.\d+/g, '')
  const scope = `${time.slice(0, 8)}/${env.REGION}/s3/aws4_request`
  const names = 'host;x-amz-content-sha256;x-amz-date'
  const canonical = ['GET', path, '', `host:${env.BUCKET_HOST}`, `x-amz-content-sha256:${NO_BODY}`, `x-amz-date:${time}`, '', names, NO_BODY]
  const text = ['AWS4-HMAC-SHA256', time, scope, hex(await crypto.subtle.digest('SHA-256', encoder.encode(canonical.join('\n'))))]
  let key = encoder.encode(`AWS4${secret}`)
  for (const part of scope.split('/')) key = await hmac(key, part)
  const signature = hex(await hmac(key, text.join('\n')))
  return {
    authorization: `AWS4-HMAC-SHA256 Credential=${id}/${scope}, SignedHeaders=${names}, Signature=${signature}`,
    'x-amz-content-sha256': NO_BODY,
    'x-amz-date': time,
  }
}

async function hmac(key, text) {
  const imported = await crypto.subtle.importKey('raw', key, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign'])
  return crypto.subtle.sign('HMAC', imported, encoder.encode(text))
}

function hex(buffer) {
  return [...new Uint8Array(buffer)].map((byte) => byte.toString(16).padStart(2, '0')).join('')
}
