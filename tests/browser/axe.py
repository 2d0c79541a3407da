"""What axe-core, a checker of accessibility, finds in a page."""

from pathlib import Path

from playwright.sync_api import Page

SCRIPT = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
CHECK = """async selector => {
    const result = await axe.run(selector, {resultTypes: ["violations"]})
    return result.violations.filter(one => ["serious", "critical"].includes(one.impact)).map(one =>
        `${one.id}: ${one.help}: ` + one.nodes.map(node => node.html.slice(0, 160)).join(" | "))
}"""


def serious(page: Page, selector: str = "html") -> list[str]:
    """Return the serious and critical findings in the elements that the selector names, one line each."""
    if not page.evaluate("typeof axe === 'object'"):
        page.evaluate(SCRIPT.read_text("utf-8"))  # not a script element: the pages' own policy forbids it
    violations: list[str] = page.evaluate(CHECK, selector)
    return violations
