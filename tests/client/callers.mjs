// node callers.mjs SEED ROUNDS: incorrect and correct callers in parallel, over one client. Prints the results.
import { createRedis } from "../../docs/redis-client.mjs";

let state = Number(process.argv[2]);
const rounds = Number(process.argv[3]);
/** One of them, by a generator that a seed repeats. */
const draw = (values) => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return values[Math.floor((state / 2 ** 32) * values.length)];
};

const NUMBERS = [
  1, 2, 60, 3600, 2_678_400, 2_678_401, 3_600_000, 0, -0, -1, 0.5, 1.5, NaN, Infinity, -Infinity, 2 ** 53, 1e21, 1e308, "60",
  "", "1e3", "60 PX", null, undefined, true, 60n, Symbol("60"), {}, [], [60], () => 60, new Date(), { valueOf: () => 60 },
];
const KEYS = [
  "user:1", "a b", "a\r\nSET x 1\r\n", "{tag}:1", "\0", "ключ", "💥", "__proto__", "x".repeat(512), "x".repeat(513), "",
  "\ud800", "a\udc00b", 5, null, undefined, {}, ["a"], Symbol("a"), Buffer.from("a"), new String("a"), "a-list", "a-word",
];
const OPTIONS = [undefined, null, "60", 60, []];

const faults = [];
const redis = createRedis(process.env, { onFault: (error) => faults.push(error.message) });
while (redis.client.status !== "ready") await new Promise((resolve) => setTimeout(resolve, 10));

const refused = {};
let accepted = 0;
const careful = [];
async function careless() {
  const options =
    draw([0, 0, 0, 0, 0, 0, 0, 1]) === 1 ? draw(OPTIONS) : { limit: draw(NUMBERS), windowSeconds: draw(NUMBERS) };
  try {
    await redis.rateLimit(draw(KEYS), options);
    accepted += 1;
  } catch (error) {
    const kind = error.name === "RedisError" ? error.message.split(" ")[0] : error.name;
    refused[kind] = (refused[kind] ?? 0) + 1;
  }
}
for (let round = 0; round < rounds; round += 1) {
  const results = [];
  for (let n = 0; n < 3; n += 1) {
    results.push(redis.rateLimit(`careful:${round}`, { limit: 2, windowSeconds: 60 }), careless(), careless(), careless());
  }
  if (round % 100 === 7) for (const end = Date.now() + 400; Date.now() < end; ); // Somebody keeps the process busy.
  careful.push((await Promise.all(results)).filter(Boolean).map(({ allowed, enforced }) => allowed && enforced).join());
}
console.log(JSON.stringify({ accepted, refused, faults, careful: [...new Set(careful)] }));
redis.close();
