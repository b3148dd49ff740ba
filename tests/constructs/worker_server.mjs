// Runs a Worker's module as a server on 127.0.0.1: node worker_server.mjs MODULE PORT, variables as JSON in WORKER_ENV.
import http from 'node:http'

const [module, port] = process.argv.slice(2)
const worker = (await import(module)).default
const env = JSON.parse(process.env.WORKER_ENV)

http
  .createServer(async (request, response) => {
    const chunks = []
    for await (const chunk of request) chunks.push(chunk)
    const hasBody = !['GET', 'HEAD'].includes(request.method)
    const asked = new Request(`https://site.example.com${request.url}`, {
      method: request.method,
      headers: new Headers(Object.entries(request.headers)),
      body: hasBody ? Buffer.concat(chunks) : undefined,
    })
    try {
      const answer = await worker.fetch(asked, env)
      response.writeHead(answer.status, Object.fromEntries(answer.headers))
      response.end(Buffer.from(await answer.arrayBuffer()))
    } catch (error) {
      response.writeHead(500).end(String(error))
    }
  })
  .listen(Number(port), '127.0.0.1', () => console.log('listening'))
