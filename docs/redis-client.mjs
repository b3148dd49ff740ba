// How the API speaks to Redis without ever depending on it. Copy it to backend/src/lib/redis.ts: it is valid TypeScript
// but for its types. Every figure in docs/redis-client.md was measured with this file and ioredis 6 (tests/client).
import { Cluster, Redis } from "ioredis";

/** Milliseconds. A request waits for Redis this long and no longer. */
export const DEADLINE = 100;
/** Failures in a row that open the breaker, and milliseconds until one request tries again. */
export const FAILURES = 3;
export const OPEN_FOR = 5_000;

const URL_FORM = /^(rediss?)(-sentinel)?:\/\/(?:([^@/?#]+)@)?([^@/?#]+)(?:\/([^@?#]*))?(?:\?([^@#]+))?$/i;
const NODE_FORM = /^(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::([1-9]\d{0,4}))?$/i;
const DATABASE = /^(\d|1[0-5])$/;

/** REDIS_URL and its overrides, as the infrastructure reads them. Throws; a message never holds a value. */
export function readUrl(env = process.env) {
  const parts = URL_FORM.exec(env.REDIS_URL ?? "");
  if (!parts) throw new Error("REDIS_URL: not a URL of the contract; ask: infra redis url");
  const [, scheme, isSentinel, login, hosts, path = "", query = ""] = parts;
  const tls = scheme.toLowerCase() === "rediss" || env.REDIS_TLS === "true";
  const colon = login?.indexOf(":") ?? -1;
  const options = Object.fromEntries(query.split("&").filter(Boolean).map((each) => each.split("=").map(decodeURIComponent)));
  const defaultPort = isSentinel ? 26379 : tls ? 6380 : 6379;
  const nodes = hosts.split(",").map((each) => {
    const node = NODE_FORM.exec(each);
    if (!node) throw new Error("REDIS_URL: a host in it cannot be read");
    return { host: node[1].replace(/^\[|\]$/g, "").toLowerCase(), port: Number(node[2] ?? defaultPort) };
  });
  const [master, masterDatabase] = path.split("/");
  const database = (isSentinel ? masterDatabase : path) || env.REDIS_DB || "0";
  if (!DATABASE.test(database)) throw new Error("REDIS_URL: its database is none from 0 to 15");
  const form = isSentinel ? "sentinel" : nodes.length > 1 || options.cluster === "true" ? "cluster" : "single";
  return {
    form,
    nodes,
    tls,
    username: (login && decodeURIComponent(colon < 0 ? login : login.slice(0, colon))) || undefined,
    password: colon < 0 ? env.REDIS_PASSWORD : decodeURIComponent(login.slice(colon + 1)),
    database: Number(database),
    keyPrefix: env.REDIS_KEY_PREFIX, // Of a preview, which shares its Redis with others.
    master: isSentinel ? master : undefined,
    sentinelUsername: options.sentinelUsername,
    sentinelPassword: options.sentinelPassword,
  };
}

/** An ioredis client that connects by itself, again and again, and whose commands never wait for that. */
export function createClient(target) {
  const tls = target.tls ? {} : undefined; // Verified against the system's authorities: never rejectUnauthorized: false.
  const common = {
    username: target.username,
    password: target.password,
    db: target.database,
    keyPrefix: target.keyPrefix,
    tls,
    protocol: 2,
    connectTimeout: 1_000,
    commandTimeout: DEADLINE, // Bounds a server that accepts and does not answer; connectTimeout does not.
    socketTimeout: 3_000, // Gives up a connection on which nothing comes back, and makes a new one.
    maxRetriesPerRequest: 0,
    enableOfflineQueue: false, // Not connected is an answer: at once, not when it is connected again.
    autoResendUnfulfilledCommands: false, // An INCR that was sent may have been counted.
    // At once after a lost connection, at most a second apart while there is nobody; not all tasks at the same time.
    retryStrategy: (times) => Math.min(10 * 2 ** Math.min(times, 7), 1_000) * (1 + Math.random() / 5),
    // A failover leaves connections to what is a replica now, or is loading: make a new one.
    reconnectOnError: (error) => (/^(READONLY|LOADING|MASTERDOWN)/.test(error.message) ? 1 : false),
  };
  const client =
    target.form === "cluster"
      ? new Cluster(target.nodes, {
          redisOptions: { ...common, db: 0 },
          enableOfflineQueue: false,
          slotsRefreshTimeout: 1_000,
          slotsRefreshInterval: 5_000,
          clusterRetryStrategy: common.retryStrategy,
          // Certificates are for names: what CLUSTER SLOTS says is connected to as it is said.
          dnsLookup: (address, callback) => callback(null, address),
        })
      : target.form === "sentinel"
        ? new Redis({
            ...common,
            sentinels: target.nodes,
            name: target.master,
            sentinelUsername: target.sentinelUsername,
            sentinelPassword: target.sentinelPassword,
            sentinelTLS: tls,
            enableTLSForSentinelMode: target.tls,
            sentinelCommandTimeout: 1_000,
            sentinelRetryStrategy: (times) => Math.min(50 * times, 1_000),
            failoverDetector: true,
          })
        : new Redis({ ...common, ...target.nodes[0] });
  client.on("error", () => {}); // Counted by the breaker, and told by checkRedisConnection.
  return client;
}

/** Lets nobody wait for what has just failed: opens after FAILURES in a row, then one request in OPEN_FOR tries. */
export class Breaker {
  #failures = 0;
  #retryAt = 0;

  get isOpen() {
    return this.#failures >= FAILURES && Date.now() < this.#retryAt;
  }

  /** What `operation` resolves to, or `fallback` when it fails, takes longer than DEADLINE, or is not tried. */
  async run(operation, fallback) {
    if (this.isOpen) return fallback;
    if (this.#failures >= FAILURES) this.#retryAt = Date.now() + OPEN_FOR; // This one tries; the others do not.
    let timer;
    try {
      const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error("deadline")), DEADLINE);
      });
      const result = await Promise.race([operation(), late]);
      this.#failures = 0;
      return result;
    } catch {
      this.#failures += 1;
      if (this.#failures >= FAILURES) this.#retryAt = Date.now() + OPEN_FOR;
      return fallback;
    } finally {
      clearTimeout(timer);
    }
  }
}

/** One for each process, made once. */
export function createRedis(env = process.env) {
  const client = createClient(readUrl(env));
  const breaker = new Breaker();
  return {
    client,
    breaker,

    /** Counts one use of `key`. `enforced` is false when nobody could count: then it is allowed. */
    async rateLimit(key, { limit, windowSeconds }) {
      const name = `ratelimit:${key}`;
      const used = await breaker.run(async () => {
        // The window begins with the first use. Both commands or none: a key without an expiry would stay for ever.
        const [[error], [countError, count]] = await client
          .multi()
          .set(name, 0, "EX", windowSeconds, "NX")
          .incr(name)
          .exec();
        if (error || countError) throw error ?? countError;
        return count;
      }, null);
      if (used === null) return { allowed: true, enforced: false };
      return { allowed: used <= limit, enforced: true, remaining: Math.max(0, limit - used) };
    },

    /** For GET /api/health/redis: 200 when connected, 503 when not, this as its body. Never for liveness. */
    async checkRedisConnection() {
      const started = performance.now();
      try {
        await client.ping();
        return { connected: true, latencyMs: performance.now() - started };
      } catch (error) {
        // Of what Redis itself says, the first word; the rest may quote a command.
        return { connected: false, error: error.command ? error.message.split(" ")[0] : error.message };
      }
    },

    close: () => client.disconnect(),
  };
}
