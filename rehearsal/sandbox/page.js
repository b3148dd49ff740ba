'use strict'
const FAULTS = ['redis', 'database', 'task', 'release', 'edge-rule', 'origin', 'rotation',
  'cloudflare-errors', 's3-throttled', 'secrets-throttled']
const token = document.querySelector('meta[name=sandbox-token]').content
const at = (id) => document.getElementById(id)

// Sets text only as text: mails, logs and rules may contain markup.
function el(name, properties = {}, ...children) {
  const made = document.createElement(name)
  for (const [key, value] of Object.entries(properties)) {
    if (key === 'class') made.className = value
    else made.setAttribute(key, value)
  }
  made.append(...children.filter((each) => each !== null && each !== undefined))
  return made
}
const row = (...children) => el('div', { class: 'row' }, ...children)
const badge = (text, kind) => el('span', { class: `badge ${kind}` }, text)
const dim = (text) => el('span', { class: 'dim small' }, text)
const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString()
const nothing = (text) => el('p', { class: 'dim' }, text)
const short = (image) => String(image).replace(/^.*\//, '').replace(/@sha256:(.{12}).*/, '@$1')

const drawn = new Map()
// Redrawn only when it changes, so that open and selected parts stay so.
function draw(id, data, make) {
  const text = JSON.stringify(data)
  if (data === undefined || drawn.get(id) === text) return
  drawn.set(id, text)
  const open = new Set([...at(id).querySelectorAll('details[open]')].map((each) => each.dataset.key))
  const top = at(id).scrollTop
  at(id).replaceChildren(...(data?.error ? [el('p', { class: 'bad' }, data.error)] : [make(data)].flat()))
  for (const each of at(id).querySelectorAll('details')) if (open.has(each.dataset.key)) each.open = true
  at(id).scrollTop = top
}
function folded(key, summary, ...content) {
  const made = el('details', {}, el('summary', {}, ...summary), ...content)
  made.dataset.key = key
  return made
}

function alarms(all) {
  const line = (each) => {
    const kind = each.state === 'ALARM' ? 'bad' : each.state === 'OK' ? 'good' : 'warn'
    const link = each.runbook ? el('a', { href: `/runbooks/${each.runbook}` }, `runbook: ${each.runbook}`) : null
    return el('div', { class: each.state === 'ALARM' ? 'row ring' : 'row' },
      badge(each.state, kind), badge(each.severity, each.severity === 'critical' ? 'bad' : 'warn'), `${each.means} `, link,
      el('div', {}, dim(`${each.name}, since ${clock(each.since)}. ${each.state === 'ALARM' ? each.reason : ''}`)))
  }
  const ringing = all.filter((each) => each.state === 'ALARM')
  const rest = all.filter((each) => each.state !== 'ALARM')
  return [
    ...(ringing.length ? ringing.map(line) : [nothing('No alarm is firing.')]),
    folded('rest', [`${rest.length} others`], ...rest.map(line)),
  ]
}

function services(all) {
  return el('div', { class: 'services' }, ...all.map((each) => {
    const deployment = each.deployment
    const enough = each.tasks.running >= each.tasks.desired
    return el('div', {}, el('strong', {}, each.name), ' ', badge(`${each.tasks.running} of ${each.tasks.desired} tasks`, enough ? 'good' : 'bad'),
      facts({
        image: short(each.image), stack: each.stack,
        deployment: deployment ? `${deployment.status} ${deployment.stage ?? ''}, ${deployment.minutes} min` : 'none yet',
        release: each.release ? `${each.release.id} ${each.release.outcome}` : 'none yet',
      }))
  }))
}
const facts = (pairs) => el('dl', {}, ...Object.entries(pairs).flatMap(([key, value]) => [el('dt', {}, key), el('dd', {}, String(value))]))

const mailbox = (all) => all.length
  ? all.map((each) => row(folded(`${each.at}${each.to}${each.subject}`, [dim(`${clock(each.at)} to ${each.to} `), each.subject], el('pre', {}, each.text))))
  : nothing('Nothing was sent.')

function requests(edge) {
  return [
    facts({ 'per second': edge.per_second, 'failed in 10 s': `${edge.failed_percent} %` }),
    ...edge.failures.map((each) => row(badge(String(each.status), 'bad'), `${each.host}${each.path} `, dim(`${clock(each.at)}, ${each.ms} ms`))),
  ]
}

function cloudflare(edge) {
  return [
    el('p', { class: 'dim' }, `${edge.zone}, plan ${edge.plan}; “ours” is what this environment owns`),
    ...edge.rules.map((each) => row(badge(each.ours ? 'ours' : 'others', each.ours ? 'good' : 'warn'), badge(each.action, 'dim'), `${each.what} `, dim(each.phase), el('pre', {}, each.expression))),
    folded('records', [`${edge.records.length} DNS records`], ...edge.records.map((each) => row(`${each.type} ${each.name} `, dim(`${each.content}${each.proxied ? ', proxied' : ''}`)))),
  ]
}

const ledger = (all) => all.length
  ? all.map((each) => row(badge(each.outcome, each.outcome === 'succeeded' ? 'good' : each.outcome === 'failed' ? 'bad' : 'warn'), `${each.service} ${each.kind} ${short(each.image)} `,
    dim(`${each.id}, ${new Date(each.began).toLocaleTimeString()}, ${String(each.who).replace(/^.*\//, '')}`), each.reason ? el('pre', {}, each.reason) : null))
  : nothing('Nothing was released.')

const logs = (all) => all.map((each) => el('div', {}, dim(`${clock(each.at)} ${each.service} `), each.line))

function chart(widget) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg')
  const first = Math.min(...widget.series.map((each) => each.values.findIndex((value) => value !== null)))
  const from = Math.min(first, widget.series[0].values.length - 15)
  const series = widget.series.slice(0, 4).map((each) => ({ ...each, values: each.values.slice(from) }))
  const step = 116 / (series[0].values.length - 1)
  const known = series.flatMap((each) => each.values).filter((value) => value !== null)
  const most = Math.max(...known, 0), least = Math.min(...known, 0), span = most - least || 1
  svg.setAttribute('viewBox', '0 0 120 50')
  svg.setAttribute('preserveAspectRatio', 'none')
  svg.setAttribute('role', 'img')
  svg.setAttribute('aria-label', `${widget.title}: ${series.map((each) => `${each.label} ${last(each)}`).join(', ')}`)
  series.forEach((each, number) => {
    const points = each.values.map((value, index) => value === null ? null : `${2 + index * step},${47 - (44 * (value - least)) / span}`)
    const line = document.createElementNS('http://www.w3.org/2000/svg', 'polyline')
    const there = points.filter((point) => point !== null)
    // A single point would not be a line.
    line.setAttribute('points', there.length === 1 ? `${there[0]} ${there[0].replace(/^[\d.]+/, (x) => Number(x) - 1)}` : there.join(' '))
    line.style.stroke = `var(--c${number})`
    svg.append(line)
  })
  return el('figure', {}, el('figcaption', {}, widget.title), svg, el('div', { class: 'legend' }, ...series.map((each, number) =>
    el('span', {}, el('span', { class: 'key', style: `background: var(--c${number})` }), `${each.label} `, el('b', {}, last(each))))))
}
const last = (series) => {
  const value = series.values.filter((each) => each !== null).at(-1)
  return value === undefined ? '–' : Number(value.toPrecision(4)).toLocaleString()
}

async function act(action) {
  at('result').textContent = `${action} …`
  const answer = await fetch(action, { method: 'POST', headers: { 'X-Sandbox': token } })
  at('result').textContent = await answer.text()
  show()
}
for (const name of FAULTS) {
  const button = el('button', { type: 'button', 'aria-pressed': 'false' }, `break ${name}`)
  button.dataset.fault = name
  button.addEventListener('click', () => act(`/break/${name}`))
  at('faults').append(button)
}
at('repair').addEventListener('click', () => act('/repair/'))

async function show() {
  let state
  try {
    state = await (await fetch('/state')).json()
  } catch {
    at('summary').textContent = 'The sandbox has ended.'
    return
  }
  document.title = `sandbox of ${state.environment}`
  at('environment').textContent = state.environment
  const ringing = Array.isArray(state.alarms) ? state.alarms.filter((each) => each.state === 'ALARM') : []
  const critical = ringing.filter((each) => each.severity === 'critical').length
  at('summary').textContent = `account ${state.account}, on this machine only. Alarms: ${ringing.length ? `${ringing.length} firing, ${critical} of them critical` : 'none is firing'}`
  at('summary').className = ringing.length ? 'ringing' : ''
  for (const button of at('faults').children) button.setAttribute('aria-pressed', String(state.broken.includes(button.dataset.fault)))
  draw('addresses', state.addresses, (all) => Object.entries(all).map(([name, url]) => el('a', { href: url }, name)))
  draw('alarms', state.alarms, alarms)
  draw('services', state.services, services)
  draw('mailbox', state.mailbox, mailbox)
  draw('requests', state.edge, requests)
  draw('database', state.database, facts)
  draw('redis', state.redis, facts)
  draw('metrics', state.metrics, (all) => all.map(chart))
  draw('ledger', state.ledger, ledger)
  draw('edge', state.edge && { ...state.edge, per_second: 0, failed_percent: 0, failures: [] }, cloudflare)
  draw('logs', state.logs, logs)
}
show()
setInterval(show, 2000)
