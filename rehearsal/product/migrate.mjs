// The product's migration command: drizzle-orm applies the migrations that drizzle-kit generated.
import { drizzle } from 'drizzle-orm/postgres-js'
import { migrate } from 'drizzle-orm/postgres-js/migrator'
import postgres from 'postgres'

const sql = postgres(process.env.DATABASE_URL, { max: 1, onnotice: () => {} })
await migrate(drizzle(sql), { migrationsFolder: 'migrations' })
await sql.end()
console.log('migrations applied successfully')
