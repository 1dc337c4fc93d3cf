"""The hosts that speak OpenAI's language, as a table: one row a provider. Plain data.

A new host is a new row; what is its own besides (its usage, its paths, what is free) stands in `compatible`.
"""

from __future__ import annotations

from typing import Final

__all__ = ["HOSTS", "PATTERNS"]

# The id of genai-prices, or of ours where it has none -> its hosts. Sources: each provider's API reference; a test holds
# them against genai-prices. Without a host are those that stand where their owner puts them: `hosts` names them.
HOSTS: Final[dict[str, tuple[str, ...]]] = {
    "ai21": ("api.ai21.com",),
    "aleph-alpha": ("api.aleph-alpha.com",),
    "alibaba": ("dashscope.aliyuncs.com", "dashscope-intl.aliyuncs.com", "dashscope-us.aliyuncs.com"),
    "arcee": ("api.arcee.ai",),
    "avian": ("api.avian.io",),
    "baidu": ("qianfan.baidubce.com",),
    "baseten": ("inference.baseten.co",),
    "cerebras": ("api.cerebras.ai",),
    "chutes": ("llm.chutes.ai",),
    "deepinfra": ("api.deepinfra.com",),
    "deepseek": ("api.deepseek.com",),
    "doubleword": ("api.doubleword.ai",),
    "featherless": ("api.featherless.ai",),
    "fireworks": ("api.fireworks.ai",),
    "friendli": ("api.friendli.ai",),
    "github-copilot": ("api.githubcopilot.com",),
    "github-models": ("models.github.ai", "models.inference.ai.azure.com"),
    "groq": ("api.groq.com",),
    "heroku": ("us.inference.heroku.com", "eu.inference.heroku.com"),
    "hyperbolic": ("api.hyperbolic.xyz",),
    "inception": ("api.inceptionlabs.ai",),
    "jina": ("api.jina.ai",),
    "lambda": ("api.lambda.ai", "api.lambdalabs.com"),
    "meta": ("api.meta.ai", "api.llama.com"),
    "minimax": ("api.minimax.io", "api.minimax.com", "api.minimaxi.com", "api.minimaxi.io", "api.minimax.chat"),
    "mistral": ("api.mistral.ai", "codestral.mistral.ai"),
    "moonshotai": ("api.moonshot.ai", "api.moonshot.cn"),
    "nebius": ("api.studio.nebius.com", "api.studio.nebius.ai", "api.tokenfactory.nebius.com"),
    "novita": ("api.novita.ai",),
    "nscale": ("inference.api.nscale.com",),
    "nvidia": ("integrate.api.nvidia.com", "ai.api.nvidia.com"),
    "openrouter": ("openrouter.ai", "api.openrouter.ai"),
    "ovhcloud": ("oai.endpoints.kepler.ai.cloud.ovh.net",),
    "parasail": ("api.parasail.io",),
    "perplexity": ("api.perplexity.ai",),
    "poe": ("api.poe.com",),
    "publicai": ("api.publicai.co",),
    "quicksilverpro": ("api.quicksilverpro.io",),
    "reka": ("api.reka.ai",),
    "requesty": ("router.requesty.ai",),
    "sambanova": ("api.sambanova.ai",),
    "scaleway": ("api.scaleway.ai",),
    "siliconflow": ("api.siliconflow.cn", "api.siliconflow.com"),
    "stepfun": ("api.stepfun.com", "api.stepfun.ai"),
    "tencent": ("api.hunyuan.cloud.tencent.com",),
    "together": ("api.together.xyz", "api.together.ai"),
    "upstage": ("api.upstage.ai",),
    "voyageai": ("api.voyageai.com", "ai.mongodb.com"),
    "venice": ("api.venice.ai",),
    "volcengine": ("ark.cn-beijing.volces.com",),
    "wandb": ("api.inference.wandb.ai",),
    "writer": ("api.writer.com",),
    "x-ai": ("api.x.ai",),
    "zai": ("api.z.ai",),
    "zhipuai": ("open.bigmodel.cn",),
    "llamacpp": (),
    "lmstudio": (),
    "self-hosted": (),
    "tgi": (),
    "vllm": (),
}

PATTERNS: Final = {
    "github-copilot": r"api\.[a-z0-9-]+\.githubcopilot\.com",
    "ovhcloud": r"[a-z0-9-]+\.endpoints\.kepler\.ai\.cloud\.ovh\.net",
    "volcengine": r"ark\.[a-z0-9-]+\.(?:volces|bytepluses)\.com",
    "x-ai": r"[a-z0-9-]+\.api\.x\.ai",
}
"""Hosts with a part that varies, such as a region."""
