// A task has a network interface of its own; a process here shares the machine's. What listens on every address
// listens on the task's.
import net from 'node:net'

const { listen } = net.Server.prototype
net.Server.prototype.listen = function (...words) {
  const [first, second] = words
  if (typeof first === 'object' && first !== null && first.port !== undefined) first.host = process.env.TASK_ADDRESS
  else if (typeof first === 'number' || /^\d+$/.test(first)) {
    if (typeof second === 'string') words[1] = process.env.TASK_ADDRESS
    else words.splice(1, 0, process.env.TASK_ADDRESS)
  }
  return listen.apply(this, words)
}
