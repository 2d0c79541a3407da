'use strict'
// The shortest version: every message goes back to its sender. index.js is the version to deploy.
const { WebSocketServer } = require('ws')

const server = new WebSocketServer({ host: '0.0.0.0', port: 9000 })

server.on('listening', () => console.log('echo is ready on port', server.address().port))

server.on('connection', (socket, request) => {
  console.log('client connected:', request.url)
  socket.on('message', (data, isBinary) => {
    socket.send(data, { binary: isBinary }, (error) => {
      if (error) console.error('could not send:', error.message)
    })
  })
  socket.on('error', (error) => console.error('connection error:', error.message))
  socket.on('close', (code) => console.log('client left, close code', code))
})
