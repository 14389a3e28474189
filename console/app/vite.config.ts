import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

// The gateway embeds ../web/dist and serves it under this base; it replaces
// the nonce's place holder in index.html with a fresh one for each answer.
export default defineConfig({
  base: '/.gatehouse/console/',
  plugins: [react()],
  html: { cspNonce: '__GATEHOUSE_NONCE__' },
  build: { outDir: '../web/dist', emptyOutDir: true, target: 'es2022', chunkSizeWarningLimit: 900 },
  server: { proxy: { '/.gatehouse/api': 'http://127.0.0.1:8000' } },
});
