"""Before the page works, it takes nothing in."""

from tests.browser.conftest import playwright

expect = playwright.expect


def test_nothing_can_be_typed_before_the_page_would_put_there_what_was_kept(open_page, tiny):
    page = open_page(tiny)
    held = []
    page.route("**/v1/inside", lambda route: held.append(route))  # a slow network
    page.goto(f"{tiny.root}/?slow#inside")
    expect(page.get_by_role("tab", name="Look inside")).to_be_visible()
    page.wait_for_function("document.querySelector('main').hidden")
    while not held:
        page.wait_for_timeout(20)
    expect(page.locator("#text")).to_be_hidden()
    held.pop().continue_()
    expect(page.locator("#text")).to_be_visible()
    page.locator("#text").fill("Tom")
    page.get_by_role("button", name="Look inside").click()
    expect(page.locator("#tokens [role=option]").first).to_be_visible()
    expect(page.locator("#text")).to_have_value("Tom")
