// Runs the migration command of an image, one runner at a time, and says what has become of the schema.
//
//   node --input-type=module -e "$(cat runner.mjs)" -- npx drizzle-kit migrate
//
// Reads PGHOST, PGPORT, PGDATABASE, PGUSER, PGPASSWORD and PGSSLMODE, as the command does, and MIGRATION_SECONDS, the
// longest that waiting and running may take together. Uses the image's own driver, `pg` or `postgres`.
//
// An advisory lock is held by a session of its own for as long as the command runs, as drizzle has none. Whoever
// waits for it runs the command afterwards, too: it finds nothing to do, and that is how it knows that all is done.
//
// No template literals: CloudFormation's own checks take them for its own.
//
// Exit code: the command's own, or 64 (wrong use), 69 (no database, no driver), 74 (the lock was lost), 75 (the lock
// was not had in time), 124 (the command took too long). The last line of output is {"migration": …}.
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { constants } from 'node:os'

const LOCK = "hashtextextended('infra: migration', 0)"
const CONNECT_MS = 10_000
const KILL_AFTER_MS = 10_000

// What the version that serves may rely on. `is`: has to be there afterwards. `limit`: a demand that must not be new
// to `about`, if `about` was there before. The schema `drizzle` is that tool's own bookkeeping.
const FACTS = `
with relations as (
  select c.oid, format('%I.%I', n.nspname, c.relname) as name, c.relkind
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'drizzle') and c.relkind in ('r', 'p', 'v', 'm', 'f')
), columns as (
  select r.name as relation, r.relkind, format('%s.%I', r.name, a.attname) as name, a.attnotnull,
         format_type(a.atttypid, a.atttypmod) as type,
         not a.attnotnull or a.atthasdef or a.attidentity <> '' or a.attgenerated <> '' as optional
  from relations r join pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
)
select 'is' as kind, 'relation ' || name as fact, '' as about from relations
union all select 'is', 'column ' || name || ' of type ' || type, '' from columns
union all select 'limit', 'column ' || name || ' has to be given', 'relation ' || relation from columns
  where not optional and relkind in ('r', 'p')
union all select 'limit', 'column ' || name || ' refuses NULL', 'column ' || name || ' of type ' || type from columns
  where attnotnull and relkind in ('r', 'p')
union all select 'limit', 'constraint ' || k.conname || ' on ' || r.name || ': ' || pg_get_constraintdef(k.oid),
  'relation ' || r.name from pg_constraint k join relations r on r.oid = k.conrelid where k.contype in ('c', 'f', 'u', 'p', 'x')
union all select 'limit', 'unique index ' || i.relname || ' on ' || r.name, 'relation ' || r.name
  from pg_index x join relations r on r.oid = x.indrelid join pg_class i on i.oid = x.indexrelid
  where x.indisunique and not exists (select from pg_constraint k where k.conindid = x.indexrelid)
union all select 'is', 'value ' || quote_literal(e.enumlabel) || ' of ' || e.enumtypid::regtype, '' from pg_enum e
union all select 'is', 'routine ' || p.oid::regprocedure, '' from pg_proc p join pg_namespace n on n.oid = p.pronamespace
  where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
    and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')
order by 1, 2`
const INVALID = "select indexrelid::regclass::text as name from pg_index where not indisvalid order by 1"

class Stop extends Error {
  constructor(code, message) {
    super(message)
    this.code = code
  }
}

async function imported(name) {
  try {
    return (await import(name)).default
  } catch (error) {
    if (error.code === 'ERR_MODULE_NOT_FOUND') return undefined
    throw error
  }
}

// One session. `query` gives rows; `lost` is called when the server, or the way to it, ends the session.
async function connect(lost) {
  const pg = await imported('pg')
  if (pg) {
    const client = new pg.Client({ connectionTimeoutMillis: CONNECT_MS, keepAlive: true, application_name: 'migration' })
    let closing = false
    client.on('error', () => closing || lost())
    client.on('end', () => closing || lost())
    await client.connect()
    return {
      query: async (text) => (await client.query(text)).rows,
      close: () => ((closing = true), client.end()),
    }
  }
  const postgres = await imported('postgres')
  if (!postgres) throw new Stop(69, 'the image has neither the package pg nor postgres')
  let closing = false
  const sql = postgres({
    max: 1,
    connect_timeout: CONNECT_MS / 1000,
    ssl: ['require', 'verify-ca', 'verify-full'].includes(process.env.PGSSLMODE) ? 'verify-full' : false,
    onclose: () => closing || lost(),
    connection: { application_name: 'migration' },
    onnotice: () => {},
    max_lifetime: null,
  })
  const session = await sql.reserve()
  return {
    query: (text) => session.unsafe(text),
    close: () => ((closing = true), sql.end({ timeout: 1 })),
  }
}

// Ends when the command has ended, whatever the reason, so that the facts are read after it.
function run([command, ...words], until, whenLost) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, words, { stdio: 'inherit' })
    let why
    const end = (code, error) => {
      why = { code, error }
      child.kill('SIGTERM')
      setTimeout(() => child.kill('SIGKILL'), KILL_AFTER_MS).unref()
    }
    const late = setTimeout(() => end(124, 'the command took too long'), Math.max(until - Date.now(), 0))
    process.once('SIGTERM', () => end(143, 'was told to stop'))
    // SIGKILL: without the lock, nothing more may be written.
    whenLost(() => (child.kill('SIGKILL'), reject(new Stop(74, 'the session that held the lock was lost'))))
    child.once('error', (error) => resolve({ code: 127, error: error.message }))
    child.once('exit', (code, signal) => {
      clearTimeout(late)
      resolve(why ?? { code: code ?? 128 + constants.signals[signal] })
    })
  })
}

function breaks(before, after) {
  const now = new Set(after.map((row) => row.fact))
  const then = new Set(before.map((row) => row.fact))
  return [
    ...before.filter((row) => row.kind === 'is' && !now.has(row.fact)).map((row) => 'gone: ' + row.fact),
    ...after
      .filter((row) => row.kind === 'limit' && !then.has(row.fact) && then.has(row.about))
      .map((row) => 'new: ' + row.fact),
  ]
}

const digest = (facts) =>
  createHash('sha256').update(facts.map((row) => row.kind + ' ' + row.fact + '\n').join('')).digest('hex').slice(0, 16)

async function main(words) {
  const seconds = Number(process.env.MIGRATION_SECONDS ?? 1800)
  if (!words.length || !(seconds > 0)) throw new Stop(64, 'usage: MIGRATION_SECONDS=1800 … -- COMMAND [WORD …]')
  const until = Date.now() + seconds * 1000
  let lost = () => {}
  let session
  try {
    session = await connect(() => lost())
    // The role's own limits are meant for what changes tables; this session only waits its turn.
    await session.query('set lock_timeout = 0; set idle_in_transaction_session_timeout = 0')
    await session.query('set statement_timeout = ' + seconds * 1000)
  } catch (error) {
    if (error instanceof Stop) throw error
    throw new Stop(69, 'no database: ' + (error.message || error.code))
  }
  try {
    await session.query('select pg_advisory_lock(' + LOCK + ')').catch((error) => {
      throw error.code === '57014' ? new Stop(75, 'another migration ran for ' + seconds + ' s') : new Stop(69, error.message)
    })
    const before = await session.query(FACTS)
    const ended = await run(words, until, (handler) => (lost = handler))
    lost = () => {}
    const after = await session.query(FACTS)
    const invalid = (await session.query(INVALID)).map((row) => row.name)
    return { ...ended, before: digest(before), after: digest(after), breaks: breaks(before, after), invalid }
  } finally {
    await session.close().catch(() => {})
  }
}

let told
try {
  told = await main(process.argv.slice(1).filter((word, index) => index > 0 || word !== '--'))
} catch (error) {
  told = { code: error instanceof Stop ? error.code : 70, error: error.message }
}
const { code, ...rest } = told
// The command's own last line may lack an end.
process.stdout.write('\n' + JSON.stringify({ migration: { exit: code, ...rest } }) + '\n', () => process.exit(code))
