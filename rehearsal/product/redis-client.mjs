// A simple Redis client, like most applications' first one. Images that follow the contract have docs/redis-client.mjs.
import { Redis } from 'ioredis'

export function createRedis() {
  const client = new Redis(process.env.REDIS_URL, { maxRetriesPerRequest: 3, lazyConnect: !process.env.REDIS_URL })
  client.on('error', (error) => console.error(error.message))
  return { client }
}
