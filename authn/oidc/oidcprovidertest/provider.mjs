// oidc-provider for tests, on loopback. What it is told on its command line is one
// JSON object: the client that it knows. Its address stands on its first line of
// output. POST /control changes how it behaves from then on.
import { createServer } from 'node:http';
import { generateKeyPairSync } from 'node:crypto';

const client = JSON.parse(process.argv[2]);
const control = { ahead: 0, gone: false };
const now = Date.now;
Date.now = () => now() + control.ahead; // before the library reads the time

const { Provider } = await import('oidc-provider');
const { default: MemoryAdapter } = await import('oidc-provider/lib/adapters/memory_adapter.js');
class Kept extends MemoryAdapter {} // what is under way outlives a change of keys

let generation = 0;
function key() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), kid: `k${++generation}`, use: 'sig', alg: 'RS256' };
}

const person = { email: 'nora@acme.example', email_verified: true, name: 'Nora', groups: ['ops'] };

function provide(issuer) {
  return new Provider(issuer, {
    adapter: Kept,
    clients: [client],
    jwks: { keys: [key()] },
    cookies: { keys: ['only for tests'] },
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'groups'] },
    findAccount: (_, id) => (control.gone ? undefined : { accountId: id, claims: () => ({ sub: id, ...person }) }),
    // Our keys are on loopback, where it would not go.
    fetch: (url, { dispatcher, ...options }) => fetch(url, options),
    rotateRefreshToken: true,
    pkce: { required: () => true },
    features: { devInteractions: { enabled: true }, rpInitiatedLogout: { enabled: true }, backchannelLogout: { enabled: true } },
    ttl: { AccessToken: 3600, AuthorizationCode: 60, IdToken: 3600, RefreshToken: 86400, Interaction: 3600, Session: 86400, Grant: 86400 },
  }).callback();
}

let handle;
const server = createServer((request, response) => {
  if (request.url !== '/control') {
    handle(request, response);
    return;
  }
  let text = '';
  request.on('data', (piece) => { text += piece; });
  request.on('end', () => {
    const change = JSON.parse(text);
    Object.assign(control, change);
    if (change.rotate) handle = provide(issuer());
    response.end();
  });
});
const issuer = () => `http://127.0.0.1:${server.address().port}`;
server.listen(0, '127.0.0.1', () => {
  handle = provide(issuer());
  console.log(issuer());
});
