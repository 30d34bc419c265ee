// What every module of the page uses.

import { h, render } from "./vendor/preact.js";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "./vendor/hooks.js";
import { computed, signal } from "./vendor/signals.js";
import htm from "./vendor/htm.js";

export const html = htm.bind(h);
export { render };
export { useEffect, useLayoutEffect, useMemo, useRef, useState };
export { signal };

/** A signal's value, or what `of` makes of it: the component is drawn again when that changes. */
export const useValue = (source, of) =>
  useMemo(() => (of ? computed(() => of(source.value)) : source), [source, of]).value;
