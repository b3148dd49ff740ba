// The same application, once it keeps to all of docs/application-contract.md, with the client of docs/redis-client.md.
import { checked, paths, redis, server, sql } from './server.mjs'

async function usable() {
  const { connected, error } = await redis.checkRedisConnection()
  if (!connected) throw new Error(error)
}

async function release() {
  const checks = {
    database: await checked(sql`select name from visitors limit 1`),
    redis: await checked(usable()),
  }
  return { version: process.env.RELEASE, checks }
}

Object.assign(paths, {
  '/api/health/live': async () => ({ alive: true }),
  '/api/health/release': release,
  '/api/health/redis': () => redis.checkRedisConnection(),
})
server.keepAliveTimeout = 65_000
