// What stands for the product's API in the rehearsal: as small as an application can be that keeps to
// docs/application-contract.md, with a database, Redis and requests that take a moment.
import http from 'node:http'
import Redis from 'ioredis'
import pg from 'pg'

const pool = new pg.Pool({ max: Number(process.env.PG_POOL_MAX ?? 2) })
pool.on('error', () => {})
const redis = new Redis(process.env.REDIS_URL, {
  maxRetriesPerRequest: 1,
  commandTimeout: 1000,
  keyPrefix: process.env.REDIS_KEY_PREFIX,
})
redis.on('error', () => {})

const checked = (promise) => promise.then(() => 'ok', (error) => String(error.message))

async function release() {
  const checks = {
    database: await checked(pool.query('select name from visitors limit 1')),
    redis: await checked(redis.ping()),
  }
  return { version: process.env.RELEASE, checks }
}

const paths = {
  '/api/health/live': async () => ({ alive: true }),
  '/api/health/release': release,
  '/api/health/redis': async () => ({ connected: (await checked(redis.ping())) === 'ok' }),
  '/count': async () => ({ count: await redis.incr('count') }),
  '/slow': () => new Promise((resolve) => setTimeout(() => resolve({ version: process.env.RELEASE }), 300)),
  '/': async () => {
    const { rows } = await pool.query('select count(*)::int as count from visitors')
    return { version: process.env.RELEASE, visitors: rows[0].count }
  },
}

const server = http.createServer(async (request, response) => {
  const found = paths[new URL(request.url, 'http://product').pathname]
  try {
    const body = found ? await found() : { error: 'no such path' }
    response.writeHead(found ? 200 : 404, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  } catch (error) {
    response.writeHead(500, { 'content-type': 'application/json' }).end(JSON.stringify({ error: error.message }))
  }
})
server.keepAliveTimeout = 65_000
server.listen(Number(process.env.PORT), () => console.log('listening'))
process.on('SIGTERM', () => {
  console.log('finishing what is running')
  server.close(() => process.exit(0))
  server.closeIdleConnections()
})
