"""The web console: TypeScript sources in web/, built assets in static/, served by hes.api."""
