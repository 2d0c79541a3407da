// Call a trigger whose authType is "function": sign the request, then send it.
//
//   export FC_KEY_ID=... FC_KEY_SECRET=...
//   node sign.mjs https://localhost:9443/hello      HTTP
//   node sign.mjs wss://localhost:9443/hello        WebSocket (needs: npm install ws)
import { createHash, createHmac } from 'node:crypto'

// The headers of a signed request, valid for 15 minutes. Path, query and date are signed, the body is not.
export function signedHeaders (url, keyId, keySecret, method = 'GET') {
  const { pathname, searchParams } = new URL(url)
  const escaped = (text) => encodeURIComponent(text).replace(/[!'()*]/g, (c) => '%' + c.charCodeAt(0).toString(16).toUpperCase())
  const query = [...searchParams].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([name, value]) => `${name}=${escaped(value)}`).join('&')
  const date = new Date().toISOString().replace(/\.\d+Z$/, 'Z')
  const request = [method, pathname.replaceAll('$', '%24'), query, `x-acs-date:${date}`, '', 'x-acs-date', ''].join('\n')
  const toSign = 'ACS3-HMAC-SHA256\n' + createHash('sha256').update(request).digest('hex')
  const signature = createHmac('sha256', keySecret).update(toSign).digest('hex')
  return {
    'x-acs-date': date,
    authorization: `ACS3-HMAC-SHA256 Credential=${keyId},SignedHeaders=x-acs-date,Signature=${signature}`
  }
}

const url = process.argv[2]
if (!url || !process.env.FC_KEY_ID || !process.env.FC_KEY_SECRET) {
  console.error('usage: node sign.mjs URL, with the access key in FC_KEY_ID and FC_KEY_SECRET')
  process.exit(2)
}
const headers = signedHeaders(url, process.env.FC_KEY_ID, process.env.FC_KEY_SECRET)
if (url.startsWith('ws')) {
  const { default: WebSocket } = await import('ws')
  const socket = new WebSocket(url, { headers })
  socket.on('message', (data) => { console.log(data.toString()); socket.close() })
  socket.on('error', (error) => { console.error(error.message); process.exitCode = 1 })
} else {
  const answer = await fetch(url, { headers })
  console.log(await answer.text())
  if (!answer.ok) process.exitCode = 1
}
