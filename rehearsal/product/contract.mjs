// The same application, answering at the paths that the environment's file names, with the fields that it expects there
// (asked.json), and with the client of docs/redis-client.md.
import { readFileSync } from 'node:fs'
import { checked, paths, redis, server, sql } from './server.mjs'

const asked = JSON.parse(readFileSync('asked.json'))

async function usable() {
  const { connected, error } = await redis.checkRedisConnection()
  if (!connected) throw new Error(error)
}

function put(body, field, value) {
  const names = field.split('.')
  const last = names.pop()
  for (const name of names) body = body[name] ??= {}
  body[last] = value
}

async function release() {
  const states = {
    database: await checked(sql`select name from visitors limit 1`),
    redis: await checked(usable()),
  }
  const body = {}
  if (asked.version) put(body, asked.version, process.env.RELEASE)
  for (const [field, value] of Object.entries(asked.expect)) {
    const state = states[field.includes('redis') ? 'redis' : 'database']
    put(body, field, state === 'ok' ? value : state)
  }
  return body
}

paths[asked.alive] ??= async () => ({ alive: true })
if (asked.release) paths[asked.release] = release
if (asked.redis) paths[asked.redis] = () => redis.checkRedisConnection()
server.keepAliveTimeout = 65_000
