// A worker: takes its work from a list in Redis, and finishes what it has begun when it is to stop.
import { rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { setTimeout } from 'node:timers/promises'
import { createRedis } from './redis-client.mjs'

// What its health command looks for: there as long as Redis answers.
const alive = `${tmpdir()}/alive`
// It may need the queue's Redis only, or none: then it just waits for its end.
process.env.REDIS_URL ??= process.env.REDIS_QUEUE_URL ?? ''
const redis = process.env.REDIS_URL ? createRedis() : undefined
let stopped = false
process.on('SIGTERM', () => {
  stopped = true
})
while (!stopped) {
  try {
    const work = await redis?.client.rpop('mail')
    if (work) await redis.client.lpush('sent', `${work} by ${process.env.RELEASE}`)
    writeFileSync(alive, '')
  } catch (error) {
    console.error(error.message)
    rmSync(alive, { force: true })
  }
  await setTimeout(200)
}
console.log('finished what was begun')
process.exit(0)
