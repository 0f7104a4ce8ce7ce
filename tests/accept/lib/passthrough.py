"""A GNU Radio flowgraph that passes samples on: passthrough.py FROM TO [FROM TO ...]

FROM: address of a transmitter, asked for samples; TO: where the receiver asks. GNU Radio's own ZMQ blocks, REQ and REP, complex.
"""
import signal
import sys

from gnuradio import gr, zeromq

top = gr.top_block()
for source, sink in zip(sys.argv[1::2], sys.argv[2::2]):
    top.connect(zeromq.req_source(gr.sizeof_gr_complex, 1, source, 100, False, -1), zeromq.rep_sink(gr.sizeof_gr_complex, 1, sink, 100, False, -1))
signal.signal(signal.SIGINT, lambda *_: top.stop())
top.start()
print("passing", flush=True)
top.wait()
