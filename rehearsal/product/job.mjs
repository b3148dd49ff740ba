// A job: counts the rows of a table, with its service's database login.
import postgres from 'postgres'

const [table = 'visitors'] = process.argv.slice(2)
const sql = postgres(process.env.DATABASE_URL, { max: 1 })
try {
  const [{ count }] = await sql`select count(*)::int as count from ${sql(table)}`
  console.log(`${table}: ${count} rows, by ${process.env.RELEASE}`)
} catch (error) {
  console.error(error.message)
  process.exitCode = 3
} finally {
  await sql.end()
}
