// The product's own, as most applications begin. An image that keeps to the contract has docs/redis-client.mjs here.
import { Redis } from 'ioredis'

export function createRedis() {
  const client = new Redis(process.env.REDIS_URL, { maxRetriesPerRequest: 3, lazyConnect: !process.env.REDIS_URL })
  client.on('error', (error) => console.error(error.message))
  return { client }
}
