// One process for many cases: reads lines { env, patience }, writes lines { enforces, faults } of JSON. Each case has
// its own client.
import { createInterface } from "node:readline";
import { createRedis } from "../../docs/redis-client.mjs";

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Whether it says that it is connected and limits, in every part of a cluster: the third use of two is refused. */
async function isOfUse(redis) {
  const limits = async (key) => {
    const used = [];
    for (let n = 0; n < 3; n += 1) used.push(await redis.rateLimit(key, { limit: 2, windowSeconds: 60 }));
    return used.every((each) => each.enforced) && used.map((each) => each.allowed).join() === "true,true,false";
  };
  // So many keys that, with a third of the slots missing, a run misses the hole once in 14,000 times.
  const all = await Promise.all(Array.from({ length: 24 }, () => limits(`case:${Math.random()}`)));
  return all.every(Boolean) && (await redis.checkRedisConnection()).connected;
}

for await (const line of createInterface({ input: process.stdin })) {
  const { env, patience } = JSON.parse(line);
  const faults = [];
  const redis = createRedis(env, { onFault: (error) => faults.push(error.message) });
  let enforces = false;
  for (const end = Date.now() + patience; !enforces && Date.now() < end; await wait(20)) enforces = await isOfUse(redis);
  redis.close();
  process.stdout.write(JSON.stringify({ enforces, faults }) + "\n");
}
