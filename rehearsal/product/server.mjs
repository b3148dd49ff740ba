// A minimal application like the product's: PostgreSQL by DATABASE_URL, Redis by REDIS_URL, uploads by presigned URLs,
// the runtime's default keep-alive. It runs on Node.js and on Bun. Only contract.mjs knows the infrastructure.
import { createHmac, randomUUID } from 'node:crypto'
import http from 'node:http'
import { setTimeout } from 'node:timers/promises'
import postgres from 'postgres'
import { createRedis } from './redis-client.mjs'

export const sql = postgres(process.env.DATABASE_URL, { max: Number(process.env.PG_POOL_MAX ?? 2) })
export const redis = createRedis()

export const checked = (promise) => promise.then(() => 'ok', (error) => String(error.message))
const isUp = (promise) => promise.then(() => 'up', () => 'down')

// 200 also when it is degraded: the body names what is down.
async function health() {
  const services = { database: await isUp(sql`select 1`), redis: await isUp(redis.client.ping()) }
  return { status: Object.values(services).every((each) => each === 'up') ? 'healthy' : 'degraded', services }
}

// The SDK finds the region and the task role's credentials by itself.
async function storage() {
  const sdk = await import('@aws-sdk/client-s3')
  const { getSignedUrl } = await import('@aws-sdk/s3-request-presigner')
  return { sdk, getSignedUrl, s3: new sdk.S3Client({}) }
}

// Tries each action on media that the task role allows.
async function media() {
  const { sdk, getSignedUrl, s3 } = await storage()
  const object = { Bucket: process.env.MEDIA_BUCKET, Key: 'upload/check' }
  const send = (command, more) => s3.send(new command({ ...object, ...more }))
  const upload = async () => {
    // What a browser does with the URL.
    const answer = await fetch(await getSignedUrl(s3, new sdk.PutObjectCommand(object)), { method: 'PUT', body: 'a' })
    if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`)
  }
  const abort = async () => {
    const { UploadId } = await send(sdk.CreateMultipartUploadCommand)
    await send(sdk.AbortMultipartUploadCommand, { UploadId })
  }
  return {
    upload: await checked(upload()),
    write: await checked(send(sdk.PutObjectCommand, { Body: 'a' })),
    read: await checked(send(sdk.GetObjectCommand).then(({ Body }) => Body.transformToString())),
    delete: await checked(send(sdk.DeleteObjectCommand)),
    abort: await checked(abort()),
  }
}

// Signs a URL with which a page uploads one picture of this type and size to S3, within five minutes.
async function uploads(request) {
  const { sdk, getSignedUrl, s3 } = await storage()
  const asked = new URL(request.url, 'http://product').searchParams
  if (request.method === 'DELETE') {
    await s3.send(new sdk.DeleteObjectCommand({ Bucket: process.env.MEDIA_BUCKET, Key: `upload/${asked.get('id')}` }))
    return {}
  }
  const [ContentType, ContentLength] = [asked.get('type'), Number(asked.get('size'))]
  if (!/^image\/(avif|jpeg|png|webp)$/.test(ContentType) || !(ContentLength > 0 && ContentLength <= 5_000_000))
    throw new Error('a picture of at most 5 MB')
  const id = randomUUID()
  const object = { Bucket: process.env.MEDIA_BUCKET, Key: `upload/${id}`, ContentType, ContentLength }
  const signed = { expiresIn: 300, signableHeaders: new Set(['content-type', 'content-length']) }
  return { id, url: await getSignedUrl(s3, new sdk.PutObjectCommand(object), signed) }
}

// Sessions are signed with the current key; those signed with the previous one stay valid.
const signed = (key) => createHmac('sha256', key).update('session').digest('hex')
const keys = [process.env.SESSION_SECRET, process.env.SESSION_SECRET_PREVIOUS].filter(Boolean)

export const paths = {
  '/health': async () => ({ status: 'ok' }),
  '/api/health': health,
  '/count': async () => ({ version: process.env.RELEASE, count: await redis.client.incr('count') }),
  '/media': media,
  '/uploads': uploads,
  '/session': async ({ url }) => {
    if (!keys.some((key) => signed(key) === new URL(url, 'http://product').searchParams.get('token'))) throw new Error('the signature is of no known key')
    return { version: process.env.RELEASE }
  },
  // Rate-limited like sign-in. Without Redis, every request is allowed.
  '/limited': async () => {
    const { allowed } = await redis.rateLimit('everybody', { limit: 1_000_000, windowSeconds: 60 })
    if (!allowed) throw new Error('too many requests')
    return { version: process.env.RELEASE }
  },
  '/slow': () => setTimeout(300, { version: process.env.RELEASE }),
  '/': async () => {
    const [{ count }] = await sql`select count(*)::int as count from visitors`
    return { version: process.env.RELEASE, visitors: count, runtime: process.versions.bun ? 'bun' : 'node' }
  },
}

// Pages of the site send requests from another origin.
const site = process.env.SITE_URL
const fromTheSite = site
  ? { 'access-control-allow-origin': site, 'access-control-allow-methods': 'GET, POST, DELETE' }
  : {}

export const server = http.createServer(async (request, response) => {
  if (request.method === 'OPTIONS') return response.writeHead(204, fromTheSite).end()
  const headers = { 'content-type': 'application/json', ...fromTheSite }
  const found = paths[new URL(request.url, 'http://product').pathname]
  try {
    const body = found ? await found(request) : { error: 'no such path' }
    const status = !found ? 404 : body.connected === false ? 503 : 200
    response.writeHead(status, headers).end(JSON.stringify(body))
  } catch (error) {
    response.writeHead(500, headers).end(JSON.stringify({ error: error.message }))
  }
})
// If Redis answers, the first request already has a connection.
await Promise.race([new Promise((ready) => redis.client.once('ready', ready)), setTimeout(1_000)])
server.listen(Number(process.env.PORT), () => console.log('listening'))
process.on('SIGTERM', () => {
  console.log('finishing what is running')
  server.close(() => process.exit(0))
  server.closeIdleConnections()
})
