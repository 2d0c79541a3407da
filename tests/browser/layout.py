"""What overlaps in the pictures of a page: texts on each other, and texts that leave their picture."""

from playwright.sync_api import Page

CHECK = """selector => [...document.querySelectorAll(selector)].flatMap(picture => {
    const frame = picture.getBoundingClientRect()
    const texts = [...picture.querySelectorAll("text")].filter(text => text.textContent.trim() &&
        getComputedStyle(text).visibility === "visible").map(text => ({ words: text.textContent,
        box: text.getBoundingClientRect() }))
    const outside = texts.filter(({ box }) => box.left < frame.left - 1 || box.right > frame.right + 1 ||
        box.top < frame.top - 1 || box.bottom > frame.bottom + 1).map(({ words }) => `outside: ${words}`)
    const pairs = texts.flatMap((one, n) => texts.slice(n + 1).filter(({ box }) =>
        Math.min(box.right, one.box.right) - Math.max(box.left, one.box.left) > 2 &&
        Math.min(box.bottom, one.box.bottom) - Math.max(box.top, one.box.top) > 5).map(({ words }) =>
        `${one.words} / ${words}`))
    return [...outside, ...pairs]
})"""


def overlaps(page: Page, selector: str = "svg.wp") -> list[str]:
    """Return the texts of pictures that overlap by more than their line spacing, or leave their picture."""
    found: list[str] = page.evaluate(CHECK, selector)
    return found
