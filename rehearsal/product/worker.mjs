// A worker: takes its work from a list in Redis, and finishes what it has begun when it is to stop.
import { createRedis } from './redis-client.mjs'

const redis = createRedis()
let stopped = false
process.on('SIGTERM', () => {
  stopped = true
})
console.log(`working as ${process.env.RELEASE}`)
while (!stopped) {
  try {
    const work = await redis.client.rpop('mail')
    if (work) await redis.client.lpush('sent', `${work} by ${process.env.RELEASE}`)
  } catch (error) {
    console.error(error.message)
  }
  await new Promise((later) => setTimeout(later, 200))
}
console.log('finished what was begun')
process.exit(0)
