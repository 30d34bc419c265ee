// The form that asks for the token.

import { get } from "./api.js";
import { html, useState } from "./lib.js";
import { signIn, signOutReason } from "./session.js";
import { texts } from "./texts.js";

export function SignIn() {
  const [busy, setBusy] = useState(false);
  const [fault, setFault] = useState("");
  const submit = async (event) => {
    event.preventDefault();
    const value = new FormData(event.currentTarget).get("token").trim();
    signOutReason.value = "";
    setFault("");
    setBusy(true);
    try {
      if (!value) throw Object.assign(new Error(), { status: 401 });
      await get("agent", { value });
      signIn(value);
    } catch (error) {
      setFault(error.status === 401 ? texts.signIn.wrong : error.message);
      setBusy(false);
    }
  };
  const reason = signOutReason.value;
  const alert = fault || reason;
  return html`
    <h1>${texts.signIn.title}</h1>
    <p class="lead">${texts.signIn.lead}</p>
    <form class="sign-in" onSubmit=${submit}>
      <label for="token">${texts.signIn.token}</label>
      <input
        id="token"
        name="token"
        type="text"
        class="secret"
        autocomplete="off"
        autocapitalize="off"
        spellcheck=${false}
        autofocus
        aria-describedby=${alert ? "fault" : null}
        aria-invalid=${fault ? "true" : null}
      />
      <button type="submit" disabled=${busy}>${texts.signIn.submit}</button>
    </form>
    ${alert && html`<p class="fault" id="fault" role="alert">${alert}</p>`}
  `;
}
