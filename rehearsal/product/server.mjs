// What stands for the product's API in the rehearsal: as small as an application can be that keeps to
// docs/application-contract.md, with a database, Redis, media and requests that take a moment.
import http from 'node:http'
import { setTimeout } from 'node:timers/promises'
import pg from 'pg'
import { createRedis } from './redis-client.mjs' // docs/redis-client.mjs, as its first line says

const pool = new pg.Pool({ max: Number(process.env.PG_POOL_MAX ?? 2) })
pool.on('error', () => {})
const redis = createRedis()

const checked = (promise) => promise.then(() => 'ok', (error) => String(error.message))

async function usable() {
  const { connected, error } = await redis.checkRedisConnection()
  if (!connected) throw new Error(error)
}

async function release() {
  const checks = {
    database: await checked(pool.query('select name from visitors limit 1')),
    redis: await checked(usable()),
  }
  return { version: process.env.RELEASE, checks }
}

// All that it ever does with media; the SDK finds the region and the task role's credentials by itself.
async function media() {
  const sdk = await import('@aws-sdk/client-s3')
  const s3 = new sdk.S3Client({})
  const send = (command, more) => s3.send(new command({ Bucket: process.env.MEDIA_BUCKET, Key: 'upload/check', ...more }))
  const abort = async () => {
    const { UploadId } = await send(sdk.CreateMultipartUploadCommand)
    await send(sdk.AbortMultipartUploadCommand, { UploadId })
  }
  return {
    write: await checked(send(sdk.PutObjectCommand, { Body: 'a' })),
    read: await checked(send(sdk.GetObjectCommand).then(({ Body }) => Body.transformToString())),
    delete: await checked(send(sdk.DeleteObjectCommand)),
    abort: await checked(abort()),
  }
}

const paths = {
  '/api/health/live': async () => ({ alive: true }),
  '/api/health/release': release,
  '/api/health/redis': () => redis.checkRedisConnection(),
  '/count': async () => ({ count: await redis.client.incr('count') }),
  '/media': media,
  '/slow': () => setTimeout(300, { version: process.env.RELEASE }),
  '/': async () => {
    const { rows } = await pool.query('select count(*)::int as count from visitors')
    return { version: process.env.RELEASE, visitors: rows[0].count }
  },
}

const server = http.createServer(async (request, response) => {
  const found = paths[new URL(request.url, 'http://product').pathname]
  try {
    const body = found ? await found() : { error: 'no such path' }
    const status = !found ? 404 : body.connected === false ? 503 : 200
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  } catch (error) {
    response.writeHead(500, { 'content-type': 'application/json' }).end(JSON.stringify({ error: error.message }))
  }
})
// Whoever asks first finds a connection, if there can be one.
await Promise.race([new Promise((ready) => redis.client.once('ready', ready)), setTimeout(1_000)])
server.keepAliveTimeout = 65_000
server.listen(Number(process.env.PORT), () => console.log('listening'))
process.on('SIGTERM', () => {
  console.log('finishing what is running')
  server.close(() => process.exit(0))
  server.closeIdleConnections()
})
