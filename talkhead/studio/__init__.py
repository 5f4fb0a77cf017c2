"""A local web page for everything that `talkhead animate` does: `talkhead studio`.

It stands on Starlette and Uvicorn. The page is plain HTML, CSS and JavaScript in `page/`; it loads
nothing from elsewhere.
"""
