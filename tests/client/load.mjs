// node load.mjs PORT REQUESTS CONCURRENCY PER_SECOND: requests /limited, and prints the results as one line of JSON.
import http from "node:http";

const [port, requests, concurrency, perSecond] = process.argv.slice(2).map(Number);
const agent = new http.Agent({ keepAlive: true, maxSockets: concurrency });
const outcomes = [];
const started = performance.now();

function ask(number) {
  return new Promise((resolve) => {
    const begun = performance.now();
    const done = (status, body) => {
      outcomes.push({ at: begun - started, ms: performance.now() - begun, status, ...body });
      resolve();
    };
    http
      .get({ port, host: "127.0.0.1", agent, path: `/limited?key=user${number % 50}&limit=1000000` }, (response) => {
        let text = "";
        response.on("data", (chunk) => (text += chunk));
        response.on("end", () => done(response.statusCode, JSON.parse(text)));
      })
      .on("error", (error) => done(0, { error: error.code }));
  });
}

let next = 0;
await Promise.all(
  Array.from({ length: concurrency }, async () => {
    while (next < requests) {
      const number = next++;
      const due = started + (number / perSecond) * 1000;
      const early = due - performance.now();
      if (early > 1) await new Promise((resolve) => setTimeout(resolve, early));
      await ask(number);
    }
  }),
);
agent.destroy();
console.log(JSON.stringify(outcomes));
