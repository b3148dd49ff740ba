// A worker: takes jobs from a list in Redis, and finishes the current job when it is stopped.
import { rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { setTimeout } from 'node:timers/promises'
import { createRedis } from './redis-client.mjs'

// The file that its health command checks; it exists as long as Redis answers.
const alive = `${tmpdir()}/alive`
// It may need only the queue's Redis, or none: then it waits until it is stopped.
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
