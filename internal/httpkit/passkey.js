'use strict';
// Forms that ask for a passkey (WebAuthn §5.1): the browser's answer goes into the
// field "credential", and the form is sent as any other. What is said of it stands in
// the page, in its language.
const words = document.querySelector('main').dataset;
for (const form of document.querySelectorAll('form[data-passkey]')) {
  const button = form.querySelector('button');
  const problem = form.querySelector('[data-problem]');
  const tell = (text) => {
    problem.textContent = text;
    problem.hidden = false;
    button.disabled = false;
  };
  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0));
  const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
  if (!window.PublicKeyCredential) {
    tell(words.unknown);
    button.disabled = true;
    continue;
  }
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    button.disabled = true;
    problem.hidden = true;
    const options = JSON.parse(form.dataset.options);
    options.challenge = bytes(options.challenge);
    for (const known of [...(options.allowCredentials || []), ...(options.excludeCredentials || [])]) known.id = bytes(known.id);
    try {
      let made;
      if (form.dataset.passkey === 'create') {
        options.user.id = bytes(options.user.id);
        made = await navigator.credentials.create({ publicKey: options });
      } else {
        made = await navigator.credentials.get({ publicKey: options });
      }
      const said = { clientDataJSON: text(made.response.clientDataJSON) };
      if (form.dataset.passkey === 'create') {
        said.attestationObject = text(made.response.attestationObject);
        said.transports = made.response.getTransports ? made.response.getTransports() : [];
      } else {
        said.authenticatorData = text(made.response.authenticatorData);
        said.signature = text(made.response.signature);
        if (made.response.userHandle) said.userHandle = text(made.response.userHandle);
      }
      form.elements.credential.value = JSON.stringify({ id: made.id, rawId: text(made.rawId), type: made.type, response: said, clientExtensionResults: {} });
      form.submit();
    } catch (error) {
      tell(error.name === 'InvalidStateError' ? words.known : words.nothing);
    }
  });
}
