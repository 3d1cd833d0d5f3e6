import _stubber

_stubber.stub_package("torchaudio")
__version__ = "0.0-stub"
