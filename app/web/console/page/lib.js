// What every module of the page uses.

import { h, render } from "./vendor/preact.js";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "./vendor/hooks.js";
import { batch, computed, signal } from "./vendor/signals.js";
import htm from "./vendor/htm.js";

// The layout of longer words takes seconds.
const MOST = 20_000;
const shown = (each) => (typeof each == "string" && each.length > MOST ? each.slice(0, MOST) + "…" : each);

export const html = htm.bind((type, props, ...children) => h(type, props, ...children.map(shown)));
export { render };
export { useEffect, useLayoutEffect, useMemo, useRef, useState };
export { batch, computed, signal };
