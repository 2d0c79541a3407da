// Loaded by every Node.js function before its own code, for the reason that sitecustomize.py gives.
'use strict'
const fs = require('node:fs')
const net = require('node:net')

const [configured, own] = (process.env.FCLOCAL_PORTS || '').split(':').map(Number)
const EVERYWHERE = new Set(['', '0.0.0.0', '::'])
const listen = net.Server.prototype.listen

// The forms of listen(): (port, host?, backlog?, cb?) and ({port, host, ...}, cb?); paths and handles pass untouched.
function mapped (args) {
  const [first, ...rest] = args
  const options = first !== null && typeof first === 'object'
  const port = options ? first.port : first
  if (![configured, own].includes(typeof port === 'string' ? Number(port) : port)) return { args }
  const asked = options ? first.host : (typeof rest[0] === 'string' ? rest.shift() : undefined)
  const host = EVERYWHERE.has(asked ?? '') ? '127.0.0.1' : asked
  const others = options ? rest : rest.filter((value) => value !== undefined && value !== null)
  return { args: options ? [{ ...first, port: own, host }, ...others] : [own, host, ...others], asked: asked || '0.0.0.0' }
}

function report (host, port) {
  try {
    const pipe = fs.openSync(process.env.FCLOCAL_READY, fs.constants.O_WRONLY | fs.constants.O_NONBLOCK)
    fs.writeSync(pipe, `listen ${host} ${port}\n`)
    fs.closeSync(pipe)
  } catch {} // the platform does not wait any more
}

if (own) {
  net.Server.prototype.listen = function (...original) {
    const { args, asked } = mapped(original)
    this.prependOnceListener('listening', () => {
      const address = this.address()
      if (address && address.port) report(asked ?? address.address, address.port)
    })
    return listen.apply(this, args)
  }
}
