"""The Qwen-TTS Realtime API (Alibaba Cloud DashScope)."""
