// A job: counts the rows of a table, as its service's user of the database.
import pg from 'pg'

const client = new pg.Client()
await client.connect()
try {
  const { rows } = await client.query(`select count(*)::int as count from ${process.argv[2]}`)
  console.log(`${process.argv[2]}: ${rows[0].count} rows, by ${process.env.RELEASE}`)
} catch (error) {
  console.error(error.message)
  process.exitCode = 3
} finally {
  await client.end()
}
