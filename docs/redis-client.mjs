// How the API uses Redis without failing with it. Copy it to backend/src/lib/redis.ts: except for missing type
// annotations it is valid TypeScript. Every figure in docs/redis-client.md was measured with this file and ioredis 6
// (tests/client).
import { isIPv4, isIPv6 } from "node:net";
import { Cluster, Redis } from "ioredis";

/**
 * Milliseconds that a request waits for Redis: twice the duration of the last request, within these bounds. A nearby
 * Redis that freezes costs 100, and one that is 130 away can be used. The deployment gate refuses pings above 200.
 */
export const LEAST_BUDGET = 100;
export const MOST_BUDGET = 250;
/** Failures in a row that open the breaker, and milliseconds until one request tries again. */
export const FAILURES = 3;
export const OPEN_FOR = 5_000;
/** The longest window, in seconds: 31 days. It also refuses an hour given in milliseconds. */
export const LONGEST_WINDOW = 2_678_400;
const LONGEST_KEY = 512;

/** Reads REDIS_URL and its overrides like runtime/infra_runtime/contract/redis_url.py. Throws, without any value. */
export function readUrl(env = process.env) {
  const url = env.REDIS_URL ?? "";
  const check = (holds, what) => {
    if (!holds) throw new Error(`${what} cannot be used; ./infra redis url says why`);
  };
  const isPlain = /^(?!["'])[!-~]{1,4096}$/.test(url) && !/[#<]|\$\{|\{\{/.test(url);
  const [, scheme, isSentinel, rest] = (isPlain && /^(rediss?)(-sentinel)?:\/\/(.*)$/i.exec(url)) || [];
  check(scheme, "REDIS_URL");
  const [, authority, path = "", query] = /^([^/?]*)(?:\/([^?]*))?(?:\?(.*))?$/.exec(rest);
  const [, login, hosts] = /^(?:([^@]*)@)?([^@]*)$/.exec(authority) ?? [];
  check(hosts && !/@/.test(path + (query ?? "")), "REDIS_URL: an @ or the host");

  const decode = (text, allowed) => {
    check(allowed.test(text), "REDIS_URL: its encoding");
    try {
      text = decodeURIComponent(text);
    } catch {
      check(false, "REDIS_URL: its encoding");
    }
    check(!/[\0-\x1f\x7f]/.test(text), "REDIS_URL: a control character");
    return text;
  };
  const byScheme = scheme.toLowerCase() === "rediss";
  check([undefined, "true", byScheme ? "true" : "false"].includes(env.REDIS_TLS), "REDIS_TLS");
  const tls = byScheme || env.REDIS_TLS === "true";

  const [, user, own] = /^([^:]*)(?::(.*))?$/.exec(login ?? "");
  check(login === undefined || (own === undefined ? user : own), "REDIS_URL: its login");
  const [username, ownPassword] = [user || undefined, own].map(
    (each) => each && decode(each, /^(?:[\w.~!$&'()*+,;=:-]|%[\da-f]{2})+$/i),
  );
  const password = env.REDIS_PASSWORD ?? ownPassword;
  check(password !== "" && (ownPassword ?? password) === password, "REDIS_PASSWORD");
  check(!username || password, "REDIS_URL: a username without a password");

  const nodes = hosts.split(",").map((each) => {
    const [, bracketed, name = "", digits] = /^(?:\[([^[\]%]*)\]|([^:[\]]*))(?::([1-9]\d{0,4}))?$/.exec(each) ?? [];
    const isNumeric = /(^|\.)(\d+|0x[\da-f]*)$/i.test(name);
    const isName = name.length <= 253 && /^(?:\w(?:[\w-]{0,61}\w)?(?:\.(?!$)|$))+$/.test(name);
    check(bracketed ? isIPv6(bracketed) : isNumeric ? isIPv4(name) : isName, "REDIS_URL: a host");
    const port = Number(digits ?? (isSentinel ? 26379 : tls ? 6380 : 6379));
    check(port <= 65535, "REDIS_URL: a port");
    return { host: bracketed ? new URL(`http://[${bracketed}]`).hostname.slice(1, -1) : name.toLowerCase(), port };
  });
  check(new Set(nodes.map(({ host, port }) => `${host} ${port}`)).size === nodes.length, "REDIS_URL: a host twice");

  const options = {};
  for (const each of query === undefined ? [] : query.split("&")) {
    const [, name, value] = /^(cluster|sentinelUsername|sentinelPassword)=(.+)$/.exec(each) ?? [];
    check(name && !(name in options) && (name !== "cluster" || value === "true"), "REDIS_URL: an option");
    check((name === "cluster") !== Boolean(isSentinel), "REDIS_URL: an option");
    options[name] = decode(value, /^(?:[\w.~-]|%[\da-f]{2})+$/i);
  }
  check(!options.sentinelUsername || options.sentinelPassword, "REDIS_URL: sentinelUsername without a password");

  const form = isSentinel ? "sentinel" : nodes.length > 1 || options.cluster ? "cluster" : "single";
  const at = (isSentinel ? /^([\w.-]+)(?:\/(\d|1[0-5]))?$/ : /^()(\d|1[0-5])?$/).exec(path);
  check(at, isSentinel ? "REDIS_URL: the master's name" : "REDIS_URL: its database");
  const [, master, ownDatabase] = at;
  const database = env.REDIS_DB ?? ownDatabase ?? "0";
  check(/^(\d|1[0-5])$/.test(database) && (ownDatabase ?? database) === database, "REDIS_DB");
  check(form !== "cluster" || database === "0", "REDIS_DB: a cluster has database 0 only; it");
  return {
    form,
    nodes,
    tls,
    username,
    password,
    database: Number(database),
    keyPrefix: env.REDIS_KEY_PREFIX, // Only previews have one: they share the environment's Redis.
    master: master || undefined,
    sentinelUsername: options.sentinelUsername,
    sentinelPassword: options.sentinelPassword,
  };
}

/**
 * An ioredis client that reconnects forever, and whose commands never wait for a connection. `onLost` is called for
 * each connection that is lost or cannot be opened.
 */
export function createClient(target, onLost) {
  const backOff = (first, most) => (times) => {
    onLost();
    return Math.min(first * 2 ** Math.min(times, 7), most) * (1 + Math.random() / 5);
  };
  const tls = target.tls ? {} : undefined; // Verifies with the system's CAs: never rejectUnauthorized: false.
  const common = {
    // Redis before 6 knows no users. In all versions, a password alone means the user "default".
    username: target.username === "default" ? undefined : target.username,
    password: target.password,
    db: target.database,
    keyPrefix: target.keyPrefix,
    tls,
    protocol: 2,
    // No commandTimeout: it would also limit the handshake, and never connect to a server that is 130 ms away.
    connectTimeout: 2_000,
    socketTimeout: 3_000, // Replaces a connection on which no reply arrives.
    maxRetriesPerRequest: 0,
    enableOfflineQueue: false, // Without a connection a command fails at once, instead of waiting for one.
    autoResendUnfulfilledCommands: false, // An INCR that was sent may have been counted.
    // At once after a lost connection, then up to a second apart while no server answers; with jitter between tasks.
    retryStrategy: backOff(10, 1_000),
    // After a failover, connections may lead to a server that became a replica or is loading: reconnect.
    reconnectOnError: (error) => (/^(READONLY|LOADING|MASTERDOWN)/.test(error.message) ? 1 : false),
  };
  const client =
    target.form === "cluster"
      ? new Cluster(target.nodes, {
          redisOptions: { ...common, db: 0 },
          enableOfflineQueue: false,
          slotsRefreshTimeout: 3_000,
          slotsRefreshInterval: 5_000,
          clusterRetryStrategy: common.retryStrategy,
          // Certificates are for names: connect to the names of CLUSTER SLOTS without resolving them first.
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
            sentinelCommandTimeout: 3_000,
            sentinelRetryStrategy: backOff(50, 1_000),
            failoverDetector: true,
          })
        : new Redis({ ...common, ...target.nodes[0] });
  // Otherwise ioredis would continue in database 0, with the keys of others.
  client.on("error", (error) => error.command?.name === "select" && client.disconnect(true));
  return client;
}

/** Rejects when `promise` takes longer. */
async function within(milliseconds, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    const expire = () => reject(new Error(`no reply within ${milliseconds} ms`));
    // First reads replies that arrived while the process was busy: then Redis was not late.
    timer = setTimeout(() => setImmediate(expire), milliseconds);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Safe to log and to send to Sentry: ioredis' errors carry commands with their arguments, passwords among them. */
function withoutArguments(error) {
  const safe = new Error(error.message.split(", with args")[0]);
  return Object.assign(safe, { name: "RedisError" }, error.code && { code: error.code });
}

/** Errors about the value of one key; every other error is an outage. */
const ABOUT_ONE_KEY = /^(WRONGTYPE|ERR value is not an integer|ERR increment or decrement)/;

/** A circuit breaker: opens after FAILURES in a row, then lets one request try every OPEN_FOR milliseconds. */
export class Breaker {
  #failures = 0;
  #retryAt = 0;
  #budget = MOST_BUDGET;
  #onFault;
  #onRecovery;

  constructor({ onFault, onRecovery }) {
    this.#onFault = onFault;
    this.#onRecovery = onRecovery;
  }

  get isOpen() {
    return this.#failures >= FAILURES && performance.now() < this.#retryAt;
  }

  /** The result of `operation`, or `fallback` if it fails, takes too long, or is not tried. */
  async run(operation, fallback) {
    if (this.isOpen) return fallback;
    const isTrial = this.#failures >= FAILURES;
    if (isTrial) this.#openAgain(); // This one tries; the others do not.
    const started = performance.now();
    try {
      // A trial has the full budget, in case Redis has only become slower.
      const result = await within(isTrial ? MOST_BUDGET : this.#budget, operation());
      this.#budget = Math.min(Math.max(2 * (performance.now() - started), LEAST_BUDGET), MOST_BUDGET);
      this.#succeeded();
      return result;
    } catch (error) {
      if (ABOUT_ONE_KEY.test(error.message)) {
        this.#succeeded(); // Redis itself works.
        throw withoutArguments(error);
      }
      this.failed(error);
      if (this.#failures >= FAILURES) this.#openAgain();
      return fallback;
    }
  }

  #openAgain() {
    this.#retryAt = performance.now() + OPEN_FOR;
  }

  /** Counts a failure, also one outside of `run`: a connection that is lost or cannot be opened. */
  failed(error) {
    this.#failures += 1;
    if (this.#failures === FAILURES) this.#notify(this.#onFault, withoutArguments(error));
  }

  #succeeded() {
    const wasOutage = this.#failures >= FAILURES;
    this.#failures = 0;
    if (wasOutage) this.#notify(this.#onRecovery);
  }

  /** An error in a callback must not fail the request. */
  async #notify(callback, ...about) {
    try {
      await callback?.(...about);
    } catch (error) {
      console.error(error);
    }
  }
}

const isCount = (value, most) => Number.isSafeInteger(value) && value >= 1 && value <= most;

/** Throws for invalid arguments, before anything is sent to Redis. */
function checkArguments(key, limit, windowSeconds) {
  // Two keys with different lone surrogates would be one key in Redis.
  if (typeof key !== "string" || /\p{Surrogate}/u.test(key)) {
    throw new TypeError("key: expected a string of whole characters");
  }
  if (key === "" || key.length > LONGEST_KEY) throw new RangeError(`key: expected 1 to ${LONGEST_KEY} characters`);
  for (const [name, value] of Object.entries({ limit, windowSeconds })) {
    if (typeof value !== "number") throw new TypeError(`${name}: expected a number, found ${typeof value}`);
  }
  if (!isCount(limit, Number.MAX_SAFE_INTEGER)) {
    throw new RangeError(`limit: expected an integer from 1, found ${limit}`);
  }
  if (!isCount(windowSeconds, LONGEST_WINDOW)) {
    throw new RangeError(`windowSeconds: expected an integer from 1 to ${LONGEST_WINDOW}, found ${windowSeconds}`);
  }
}

/**
 * Call it once in each process. An outage is FAILURES in a row, of commands or attempts to connect: `onFault(error)` is
 * called once when it begins, and `onRecovery()` once when a command has succeeded again.
 */
export function createRedis(env = process.env, { onFault = (error) => console.error(error), onRecovery } = {}) {
  const breaker = new Breaker({ onFault, onRecovery });
  let lastError;
  const lost = () => breaker.failed(lastError ?? new Error("no connection"));
  const client = createClient(readUrl(env), lost);
  client.on("error", (error) => {
    const isCause = !error.message.startsWith("Stream isn't writeable"); // It only follows a refused SELECT.
    if (isCause) lastError = error.lastNodeError ?? error;
  });
  client.on("node error", (error) => (lastError = error)); // Emitted by clusters only.
  client.on("ready", () => (lastError = undefined));

  return {
    client,
    breaker,

    /**
     * Counts one use of `key`. `enforced` is false when Redis could not count: then the use is allowed. Rejects with a
     * TypeError or RangeError for invalid arguments, and with Redis' error if the value of `key` is not a number.
     */
    async rateLimit(key, { limit, windowSeconds } = {}) {
      checkArguments(key, limit, windowSeconds);
      const notEnforced = { allowed: true, enforced: false };
      if (client.status !== "ready") return notEnforced; // Not a new failure: the lost connection was counted.
      const name = `ratelimit:${key}`;
      const used = await breaker.run(async () => {
        // The window begins with the first use. MULTI, because a key without an expiry would stay forever.
        const replies = await client
          .multi()
          .set(name, 0, "EX", windowSeconds, "NX")
          .incr(name)
          .exec()
          .catch((error) => {
            // EXECABORT only says that a command was refused; the first previous error has the reason.
            throw error.previousErrors?.[0] ?? error;
          });
        const [[error], [countError, count]] = replies;
        if (error || countError) throw error ?? countError;
        return count;
      }, null);
      if (used === null) return notEnforced;
      return { allowed: used <= limit, enforced: true, remaining: Math.max(0, limit - used) };
    },

    /** For GET /api/health/redis: 200 when connected, 503 when not, this as its body. Never for liveness. */
    async checkRedisConnection() {
      const started = performance.now();
      try {
        await within(1_000, client.ping());
        return { connected: true, latencyMs: performance.now() - started };
      } catch (error) {
        const isExplained = error.command || client.status === "ready";
        return { connected: false, error: withoutArguments(isExplained ? error : (lastError ?? error)).message };
      }
    },

    close: () => client.disconnect(),
  };
}
