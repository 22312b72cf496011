-- CreateTable
CREATE TABLE "measured_features" (
    "workspace_id" TEXT NOT NULL,
    "key" TEXT NOT NULL,
    "digest" TEXT NOT NULL,
    "size_bytes" BIGINT NOT NULL,
    "sae_digest" TEXT NOT NULL,
    "dataset_digest" TEXT,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "used_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "measured_features_pkey" PRIMARY KEY ("workspace_id","key")
);

-- CreateIndex
CREATE INDEX "measured_features_workspace_id_digest_idx" ON "measured_features"("workspace_id", "digest");

-- CreateIndex
CREATE INDEX "measured_features_used_at_idx" ON "measured_features"("used_at");

-- AddForeignKey
ALTER TABLE "measured_features" ADD CONSTRAINT "measured_features_workspace_id_digest_fkey" FOREIGN KEY ("workspace_id", "digest") REFERENCES "blobs"("workspace_id", "digest") ON DELETE RESTRICT ON UPDATE CASCADE;
