import _stubber

_stubber.stub_package("smplfitter")
__version__ = "0.0-stub"
