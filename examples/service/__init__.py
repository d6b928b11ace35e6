"""A text classifier as a service and as a demo: chapter 24 explains both.

python -m examples.service.app     a JSON service on port 8000 (`make serve`)
python -m examples.service.demo    a page to try it on, port 7860 (`make demo`)

Both take `--model`, a folder that `save_pretrained` wrote or a Hub id. Without it they use a
small classifier of news, which they train first: about a minute, once.
"""
