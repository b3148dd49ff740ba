// A minimal service with the published client, to show what its users see while Redis is broken.
import http from "node:http";
import { createRedis } from "../../docs/redis-client.mjs";

const reported = { faults: [], recoveries: 0 };
const redis = createRedis(process.env, {
  // Everything that an error tracker could read from it.
  onFault: (error) => reported.faults.push({ ...error, message: error.message, cause: error.cause }),
  onRecovery: () => (reported.recoveries += 1),
});
const server = http.createServer(async (request, response) => {
  const url = new URL(request.url, "http://localhost");
  const answer = (status, body) => {
    response.writeHead(status, { "content-type": "application/json" });
    response.end(JSON.stringify(body));
  };
  try {
    if (url.pathname === "/api/health/redis") {
      const health = await redis.checkRedisConnection();
      answer(health.connected ? 200 : 503, health);
    } else if (url.pathname === "/reported") {
      answer(200, reported);
    } else {
      const limit = Number(url.searchParams.get("limit"));
      const result = await redis.rateLimit(url.searchParams.get("key"), { limit, windowSeconds: 600 });
      answer(result.allowed ? 200 : 429, { ...result, isOpen: redis.breaker.isOpen });
    }
  } catch (error) {
    answer(500, { error: String(error) });
  }
});
server.keepAliveTimeout = 60_000;
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.on("end", () => process.exit(0)).resume();
