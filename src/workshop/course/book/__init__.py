"""The course as a site: executed lessons, glossary, function folders and the instructor's page, made with Sphinx."""
