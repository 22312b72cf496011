-- CreateTable
CREATE TABLE "variants" (
    "id" TEXT NOT NULL,
    "workspace_id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "model_id" TEXT NOT NULL,
    "edits" JSONB NOT NULL,
    "sae_ids" TEXT[],
    "metadata" JSONB NOT NULL DEFAULT '{}',
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "variants_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE INDEX "variants_workspace_id_created_at_id_idx" ON "variants"("workspace_id", "created_at", "id");

-- CreateIndex
CREATE INDEX "variants_model_id_idx" ON "variants"("model_id");

-- CreateIndex
CREATE UNIQUE INDEX "variants_workspace_id_name_key" ON "variants"("workspace_id", "name");

-- AddForeignKey
ALTER TABLE "variants" ADD CONSTRAINT "variants_workspace_id_fkey" FOREIGN KEY ("workspace_id") REFERENCES "workspaces"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "variants" ADD CONSTRAINT "variants_model_id_fkey" FOREIGN KEY ("model_id") REFERENCES "models"("id") ON DELETE RESTRICT ON UPDATE CASCADE;
