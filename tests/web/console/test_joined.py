"""Modules of the page joined into one script."""

import re

import pytest

from app.web.console import call_page
from app.web.console.joined import JoinError, joined


def squeezed(script: str) -> str:
    return re.sub(r"\s+", " ", script)


def test_what_a_module_imports_comes_before_it_and_once() -> None:
    script = joined(
        {
            "a.js": 'import { b } from "./b.js";\nimport { c } from "./c.js";\nb(c);',
            "b.js": 'import { c } from "./c.js";\nexport const b = (x) => x + c;',
            "c.js": "export const c = 1;",
        },
        "a.js",
    )
    assert script.startswith('"use strict";\n')
    assert re.findall(r"^// (\S+)$", script, re.MULTILINE) == ["c.js", "b.js", "a.js"]
    assert "import" not in script and "export" not in script
    assert "const { c: c } = module0;" in script and "return { b };" in script


def test_every_form_that_the_page_uses_is_joined() -> None:
    script = squeezed(
        joined(
            {
                "a.js": 'import whole from "./deep/d.js";\nimport {\n  one,\n  two as second,\n}'
                ' from "./b.js";\nexport async function run() {}\nexport class Thing {}',
                "b.js": 'export{x as one,two}from"./deep/d.js";const y=2;export{y as three};',
                "deep/d.js": "export default function(s){}\nexport{p as x,q as two};var p,q;",
            },
            "a.js",
        )
    )
    assert "const { default: whole } = module0;" in script
    assert "const { one: one, two: second } = module1;" in script
    assert "return { one: module0.x, two: module0.two, three: y };" in script
    assert "const exported = function(s){}" in script
    assert "x: p, two: q" in script and "default: exported" in script
    assert "return { run, Thing };" in script


@pytest.mark.parametrize(
    ("modules", "told"),
    [
        ({"a.js": 'import "./b.js";'}, "a.js: this form cannot be joined: import"),
        ({"a.js": 'import * as b from "./b.js";', "b.js": ""}, "this form cannot be joined"),
        ({"a.js": "export let count = 0;"}, "this form cannot be joined: export let"),
        ({"a.js": 'import { b } from "./b.js";'}, "there is no module b.js"),
        ({"a.js": 'import { b } from "b";'}, "imports are from"),
        (
            {
                "a.js": 'import { b } from "./b.js";\nexport const a = 1;',
                "b.js": 'import { a } from "./a.js";\nexport const b = 1;',
            },
            "imports lead back: a.js -> b.js -> a.js",
        ),
    ],
)
def test_what_cannot_be_joined_is_named(modules: dict[str, str], told: str) -> None:
    with pytest.raises(JoinError, match=re.escape(told)):
        joined(modules, "a.js")


def test_the_page_of_a_call_has_its_modules_and_no_request_in_it() -> None:
    script = call_page.script()
    names = set(re.findall(r"^// (\S+\.js)$", script, re.MULTILINE))
    assert {"file.js", "one_call.js", "timeline.js", "vendor/preact.js"} <= names
    assert not names & {"api.js", "session.js", "live.js", "main.js", "acts.js"}
    assert "fetch(" not in script and "sessionStorage" not in script
