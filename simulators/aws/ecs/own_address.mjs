// A task has its own network interface; a process here shares the machine's. So a server that listens on every address
// listens only on the task's. Bun's HTTP server is not a net.Server.
import http from 'node:http'
import net from 'node:net'

for (const { prototype } of [net.Server, http.Server].filter((each) => Object.hasOwn(each.prototype, 'listen'))) {
  const { listen } = prototype
  prototype.listen = function (...words) {
    const [first, second] = words
    if (typeof first === 'object' && first !== null && first.port !== undefined) first.host = process.env.TASK_ADDRESS
    else if (typeof first === 'number' || /^\d+$/.test(first)) {
      if (typeof second === 'string') words[1] = process.env.TASK_ADDRESS
      else words.splice(1, 0, process.env.TASK_ADDRESS)
    }
    return listen.apply(this, words)
  }
}
